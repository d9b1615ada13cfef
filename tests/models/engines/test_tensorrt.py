"""The run path over a stand-in for TensorRT: which calls come in which order. It says nothing about a real GPU."""

import ctypes

import numpy as np
import pytest

from contract.errors import EngineDoesNotFit, EngineFailed
from contract.manifest import Batches
from models.engines.building import recipe_for
from models.engines.onnx import OnnxEngine
from models.engines.plans import find_plan, make_plan
from models.engines.tensorrt import TensorRTEngine, accuracy, bucket_for, open_tensorrt


@pytest.fixture
def engine(exported, tmp_path, library, gpu) -> TensorRTEngine:
    card, folder = exported
    return open_tensorrt(card, folder, tmp_path, library, gpu)


@pytest.mark.parametrize(("crops", "bucket"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 12), (12, 12)])
def test_buckets_are_powers_of_two_up_to_the_largest_batch(crops, bucket):
    assert bucket_for(crops, 1, 12) == bucket


def test_a_bucket_is_never_below_the_smallest_batch():
    assert bucket_for(1, 4, 16) == 4


def test_the_second_batch_of_a_bucket_in_a_lane_replays_its_graph(engine, gpu, crops):
    gpu.replayed.clear()
    first, _ = engine(crops[:2])["logits"], engine(crops[:2])  # one per lane
    assert gpu.replayed == []

    second = engine(crops[:2])["logits"]

    assert gpu.replayed == [3]  # copy in, compute, copy out
    np.testing.assert_array_equal(first, second)


def test_a_graph_is_recorded_once_per_lane_and_bucket(engine, gpu, crops):
    gpu.replayed.clear()
    for size in (1, 2, 3, 4, 3, 2, 1, 1):
        for _ in range(2):  # both lanes
            engine(crops[:size])

    assert len(gpu.replayed) == 2 * 6  # 4 and 3 share a bucket, which measuring the plan made; not the first of 1 and 2


def test_a_batch_beyond_the_profile_is_cut(engine, gpu, exported, crops):
    card, folder = exported

    seen = engine(crops[:11])["logits"]  # 4 + 4 + 3

    np.testing.assert_allclose(seen, OnnxEngine(card, folder)(crops[:11])["logits"], atol=1e-6)


def test_no_crop_of_an_earlier_batch_stays_in_the_buffer(engine, crops):
    for _ in range(2):  # both lanes
        engine(crops[:4])

    engine(crops[:3])

    row = crops[0].size
    assert not engine._lanes[0]._crops[3 * row : 4 * row].any()


def test_closing_gives_all_device_memory_back(engine, gpu, crops):
    engine(crops[:2])

    engine.close()

    assert gpu.memory == {}


def test_a_batch_that_the_library_refuses_ends_the_engine(engine, fakes, monkeypatch, crops):
    monkeypatch.setattr(fakes.FakeContext, "execute_async_v3", lambda self, stream: False)

    with pytest.raises(EngineFailed, match="small: TensorRT refused a batch of 2"):
        engine(crops[:2])


def test_a_plan_that_the_library_cannot_read_is_rebuilt(exported, tmp_path, library, gpu, fakes, monkeypatch):
    card, folder = exported
    make_plan(tmp_path, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches()))
    real = fakes.FakeRuntime.deserialize_cuda_engine
    answers = iter([False, True])
    monkeypatch.setattr(
        fakes.FakeRuntime, "deserialize_cuda_engine", lambda self, body: real(self, body) if next(answers) else None
    )

    engine = open_tensorrt(card, folder, tmp_path, library, gpu)

    assert "trt 11.4.0.106 refuses it" in engine.remark


def test_a_plan_with_other_tensors_than_its_card_is_refused(exported, tmp_path, library, gpu, fakes, monkeypatch):
    card, folder = exported
    make_plan(tmp_path, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches()))
    monkeypatch.setattr(fakes.FakeEngine, "get_tensor_shape", lambda self, name: (-1, 9))
    plan, _ = find_plan(tmp_path, card, library, gpu)

    with pytest.raises(EngineDoesNotFit, match=r"the plan's tensor 'crops' is \(-1, 9\)"):
        TensorRTEngine(card, plan, library, gpu)


def test_a_plan_of_an_older_minor_version_needs_its_lean_runtime(exported, tmp_path, library, gpu, fakes):
    card, folder = exported
    recipe = recipe_for(library, gpu, "fp32", Batches(), version_compatible=True)
    make_plan(tmp_path, card, folder, library, gpu, recipe)
    newer = fakes.fake_library(gpu, "11.5.0.1")
    plan, refused = find_plan(tmp_path, card, newer, gpu)

    assert refused == []
    with pytest.raises(
        EngineDoesNotFit, match=r"built by 11\.4\.0\.106; MIEN_TENSORRT_LEAN=None is not its lean runtime"
    ):
        TensorRTEngine(card, plan, newer, gpu)


def test_accuracy_is_the_difference_from_onnx_runtime(exported, tmp_path, library, gpu, crops):
    card, folder = exported
    plan, _ = make_plan(tmp_path, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches()))

    difference, relative, agreement = accuracy(card, folder, plan, library, gpu, crops)

    assert difference.value <= 1e-5  # the stand-in computes what the reference does
    assert relative.value <= 1e-5
    assert agreement.value == 1.0


def test_a_plan_that_answers_otherwise_is_built_anew(exported, tmp_path, library, gpu, fakes, monkeypatch):
    card, folder = exported
    make_plan(tmp_path, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches()))
    compute, wrong = fakes.FakeContext._compute, iter([True])

    def computes_wrongly(self):
        compute(self)
        if next(wrong, False):
            ctypes.memset(self._addresses["logits"], 0x41, 4)  # the first logit of the first run

    monkeypatch.setattr(fakes.FakeContext, "_compute", computes_wrongly)

    engine = open_tensorrt(card, folder, tmp_path, library, gpu)

    assert "a logit is off by" in engine.remark
    assert engine.manifest.accuracy[0].value <= 1e-5


def test_a_net_whose_every_plan_answers_otherwise_never_serves(exported, tmp_path, library, gpu, fakes, monkeypatch):
    card, folder = exported
    compute = fakes.FakeContext._compute

    def computes_wrongly(self):
        compute(self)
        ctypes.memset(self._addresses["logits"], 0x41, 4)

    monkeypatch.setattr(fakes.FakeContext, "_compute", computes_wrongly)

    with pytest.raises(EngineDoesNotFit, match="a logit is off by"):
        open_tensorrt(card, folder, tmp_path, library, gpu)
