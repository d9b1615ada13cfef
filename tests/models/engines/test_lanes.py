"""Two batches in flight on a GPU that works later than it is asked: order, overlap, failure and memory."""

import numpy as np
import pytest

from contract.errors import EngineFailed, OutOfDeviceMemory
from models.engines.onnx import OnnxEngine
from models.engines.tensorrt import TensorRTEngine, buckets, open_tensorrt
from tests.models.engines.lazy_gpu import LazyGpu


def opened(gpu: LazyGpu, exported, folder, fakes, monkeypatch) -> TensorRTEngine:
    """The small net over this stand-in; a plan for up to four crops."""
    monkeypatch.setattr("models.engines.plans.build_plan", lambda library, body, recipe, timings, watch: (body, b"t"))
    return open_tensorrt(*exported, folder, fakes.fake_library(gpu), gpu)


@pytest.fixture
def open_on(exported, tmp_path, fakes, monkeypatch):
    return lambda gpu: opened(gpu, exported, tmp_path, fakes, monkeypatch)


@pytest.mark.parametrize("seed", range(5))
def test_answers_belong_to_their_batches_in_any_order_of_the_streams(open_on, exported, crops, seed):
    engine = open_on(LazyGpu(seed))
    wanted = OnnxEngine(*exported)(crops)["logits"]
    random = np.random.default_rng(seed)
    rows = [np.sort(random.permutation(len(crops))[: random.integers(1, 10)]) for _ in range(12)]

    tickets = [engine.submit(crops[some]) for some in rows]

    for place in random.permutation(len(rows)):
        np.testing.assert_allclose(tickets[place].collect()["logits"], wanted[rows[place]], atol=1e-6)


def test_two_batches_are_in_flight_before_anybody_waits(open_on, crops):
    gpu = LazyGpu()
    engine = open_on(gpu)

    done, gpu.most_streams_at_work = gpu.done, 0

    first, second = engine.submit(crops[:2]), engine.submit(crops[2:4])

    assert gpu.done == done
    assert gpu.most_streams_at_work == 2
    second.collect()
    first.collect()


def test_after_warming_up_every_batch_replays_a_graph(open_on, gpu, crops):
    gpu = LazyGpu()
    engine = open_on(gpu)

    engine.warm_up(4)

    before = len(gpu.replayed)
    for size in (1, 2, 3, 4, 4, 1):
        engine.submit(crops[:size]).collect()
    assert len(gpu.replayed) == before + 6


def test_an_error_of_the_device_reaches_every_ticket_and_every_later_batch(open_on, crops):
    gpu = LazyGpu()
    engine = open_on(gpu)
    gpu.fails_at = gpu.done + 1

    tickets = [engine.submit(crops[:2]), engine.submit(crops[2:4])]

    for ticket in (*tickets, *tickets):
        with pytest.raises(EngineFailed, match="illegal memory access"):
            ticket.collect()
    for _ in range(2):
        with pytest.raises(EngineFailed, match="illegal memory access"):
            engine.submit(crops[:2])


def test_an_engine_that_failed_can_be_closed(open_on, crops):
    gpu = LazyGpu()
    engine = open_on(gpu)
    gpu.fails_at = gpu.done
    ticket = engine.submit(crops[:2])

    engine.close()

    with pytest.raises(EngineFailed, match="illegal memory access"):
        ticket.collect()


def test_where_memory_is_short_the_largest_batch_is_halved_and_said(open_on, exported, crops):
    whole = open_on(LazyGpu())
    gpu = LazyGpu(room=whole.device_bytes - 1)

    engine = open_on(gpu)

    assert (whole.most, engine.most) == (4, 2)
    assert engine.device_bytes < whole.device_bytes
    assert "batches of at most 2 crops: NVIDIA Test 1: cudaMalloc answered «out of memory»" in engine.remark
    wanted = OnnxEngine(*exported)(crops[:7])["logits"]
    np.testing.assert_allclose(engine(crops[:7])["logits"], wanted, atol=1e-6)


def test_a_context_that_does_not_fit_halves_the_bucket_and_the_batch_goes_on(
    open_on, exported, crops, fakes, monkeypatch
):
    engine = open_on(LazyGpu())
    make = fakes.FakeEngine.create_execution_context
    room = iter([False])  # none for the bucket of two crops
    monkeypatch.setattr(fakes.FakeEngine, "create_execution_context", lambda *a: make(*a) if next(room, True) else None)

    seen = engine(crops[:2])["logits"]

    assert engine.most == 1
    assert "no room for a context of 2 crops" in engine.remark
    np.testing.assert_allclose(seen, OnnxEngine(*exported)(crops[:2])["logits"], atol=1e-6)


def test_where_not_even_one_crop_fits_that_is_the_reason(open_on):
    with pytest.raises(OutOfDeviceMemory, match="out of memory"):
        open_on(LazyGpu(room=100))


def test_closing_waits_for_what_is_in_flight_and_leaves_no_memory(open_on, exported, crops):
    gpu = LazyGpu()
    engine = open_on(gpu)
    ticket = engine.submit(crops[:4])

    engine.close()

    assert gpu.memory == {}
    wanted = OnnxEngine(*exported)(crops[:4])["logits"]
    np.testing.assert_allclose(ticket.collect()["logits"], wanted, atol=1e-6)


def test_an_engine_is_exchanged_without_mixing_a_batch(open_on, exported, crops):
    """Hot swap: the new one takes the next batch, the old one answers what it was given, then goes."""
    old, new = open_on(LazyGpu(1)), open_on(LazyGpu(2))
    before = old.submit(crops[:3])
    after = new.submit(crops[3:6])
    old.close()

    wanted = OnnxEngine(*exported)(crops)["logits"]
    np.testing.assert_allclose(before.collect()["logits"], wanted[:3], atol=1e-6)
    np.testing.assert_allclose(after.collect()["logits"], wanted[3:6], atol=1e-6)


@pytest.mark.parametrize(
    ("least", "most", "wanted"), [(1, 8, [1, 2, 4, 8]), (1, 12, [1, 2, 4, 8, 12]), (3, 9, [3, 4, 8, 9]), (4, 4, [4])]
)
def test_the_prepared_batches_are_powers_of_two_between_the_ends(least, most, wanted):
    assert buckets(least, most) == wanted
