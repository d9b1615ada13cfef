"""`mien size`: its formulas hold in a simulation with the real partitioner and batcher."""

import dataclasses
import itertools
import json
import math

import pytest
from typer.testing import CliRunner

from bench.sizing import cameras_per_worker, simulate
from contract.errors import BadRequest
from mien.cli import app
from mien.commands.size import Load, Rates, size_of


@pytest.mark.parametrize("cameras", [10, 1_000, 100_000])
def test_the_fullest_worker_keeps_up_and_is_fresh(cameras: int) -> None:
    seen = simulate(Load(cameras=cameras))
    # What a hash does to the fullest of many workers is a bound that holds with high probability, not for certain.
    assert seen.fullest <= seen.promised + 0.05
    # The engine of the simulation spends 2 ms a batch beside the rate that the formulas know: at 64 faces a tenth more.
    assert seen.load <= 1.1 * Rates().load
    assert seen.fresh_p99_s < 0.5


def test_a_worker_less_in_each_cell_would_be_more_loaded_than_wanted() -> None:
    load, rates = Load(cameras=100_000), Rates()
    size = size_of(load, rates)
    fewer = dataclasses.replace(rates, load=rates.load * 1.5)  # as if gusts needed no room
    assert size_of(load, fewer).workers < size.workers
    assert simulate(load, fewer).load > 1.1 * rates.load


def test_every_camera_has_a_worker_and_every_worker_as_many_partitions() -> None:
    size = size_of(Load(cameras=3_000))
    workers = size.workers // size.cells
    assert size.partitions % workers == 0
    assert cameras_per_worker(size, workers, 0).sum() == size.cameras_per_cell


def test_numbers_follow_from_the_load() -> None:
    size = size_of(Load(cameras=1_000, fps=5, faces=2, retention_h=1))
    assert size.faces_per_s == 10_000
    assert size.kafka_in_bytes_per_s == 10_000 * 8_000
    assert size.kafka_disk_bytes == 10_000 * 8_000 * 3 * 3_600
    assert size.redis_bytes == 10_000 * 65 * 86_400 * 30
    assert size.ingest_cores == pytest.approx(1_000 * (25 * 4.6 + 5 * (5.9 + 2 * 1.1)) / 1e3 / 0.6)


def test_more_cameras_never_need_less() -> None:
    sizes = [size_of(Load(cameras=cameras)) for cameras in (1, 10, 100, 1_000, 10_000)]
    for small, large in itertools.pairwise(sizes):
        assert large.workers >= small.workers
        assert large.ingest_cores > small.ingest_cores


def test_a_worker_on_the_cpu_is_bound_by_its_net() -> None:
    load = Load(cameras=100)
    assert size_of(load, gpu=False).workers > size_of(load).workers
    assert size_of(load, gpu=False, cores_per_worker=8).workers < size_of(load, gpu=False).workers


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"cameras": 0}, "--cameras is 0"),
        ({"cameras": 10, "fps": 0}, "--fps is 0"),
        ({"cameras": 10, "fps": 30}, "more than the 25 that a camera sends"),
        ({"cameras": 10, "faces": math.nan}, "--faces is nan"),
        ({"cameras": 10, "fps": math.inf}, "--fps is inf"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, float], seen: str) -> None:
    with pytest.raises(BadRequest, match=seen):
        Load(**options)  # type: ignore[arg-type]


def test_the_command_prints_for_people_and_for_programs() -> None:
    told = CliRunner().invoke(app, ["size", "--cameras", "1000", "--fps", "5", "--faces", "2"])
    assert told.exit_code == 0
    assert "10,000" in told.output
    counted = CliRunner().invoke(app, ["size", "--cameras", "1000", "--json"])
    assert json.loads(counted.output)["faces_per_s"] == 10_000
