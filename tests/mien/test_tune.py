"""The worker's settings are read off the curve; the command ends in one that a user can paste."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from mien.cli import app
from mien.tune import BATCHES, MOST_WAIT_S, Speed, chosen


def speeds(*faces_per_s: float) -> list[Speed]:
    return [Speed(batch, speed) for batch, speed in zip(BATCHES, faces_per_s, strict=False)]


@pytest.mark.parametrize(
    ("curve", "batch", "wait_s"),
    [
        (speeds(100, 190, 196, 200), 2, 2 / 190),  # 2 is within 5 % of the best, and no face waits for two more
        (speeds(100, 150, 250, 400), 8, 8 / 400),
        (speeds(500, 300), 1, 0.002),  # larger batches only cost
        (speeds(10_000), 1, 0.002),  # no wait below what a thread takes to wake
        (speeds(1, 2, 4, 8, 16, 32), 32, MOST_WAIT_S),
    ],
)
def test_the_smallest_batch_that_is_nearly_the_fastest_is_chosen(curve, batch, wait_s):
    choice = chosen(curve, decode_threads=2)

    assert (choice.batch_size, choice.wait_s) == (batch, pytest.approx(wait_s, abs=1e-4))
    assert choice.curve == tuple(curve)


def test_the_command_prints_the_worker_to_start_and_keeps_the_curve(tmp_path):
    out = tmp_path / "tuned.json"

    done = CliRunner().invoke(app, ["tune", "--nets", "action_units", "--seconds", "0", "--out", str(out)])

    assert done.exit_code == 0, done.output
    kept = json.loads(out.read_bytes())["settings"]
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words[:4] == ["mien", "worker", "--nets", "action_units"]
    assert words[words.index("--batch-size") + 1] == str(kept["batch_size"])
    assert [each["batch"] for each in kept["curve"]] == list(BATCHES[: len(kept["curve"])])
    offered = CliRunner().invoke(app, ["worker", "--help"], env={"COLUMNS": "200"}).output
    assert all(word in offered for word in words if word.startswith("--"))
