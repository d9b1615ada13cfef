"""ONNX Runtime on the CPU: what only this engine promises. The rest: test_every_engine.py."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contract.errors import BadModel
from models.engines.onnx import OnnxEngine, open_session


def tasks() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("threads", [1, 2])
def test_no_more_threads_compute_than_asked_for(exported, crops, threads):
    card, folder = exported
    before = tasks()

    engine = OnnxEngine(card, folder, threads)
    engine(crops)

    assert tasks() - before == threads - 1  # the caller computes too


def test_weights_that_are_not_those_of_the_card_are_refused(exported, tmp_path):
    card, folder = exported
    shutil.copy(folder / card.file, tmp_path)
    with (tmp_path / card.file).open("ab") as file:
        file.write(b"\0")

    with pytest.raises(BadModel, match="as its card says"):
        OnnxEngine(card, tmp_path)


def test_weights_that_are_no_onnx_are_refused_in_one_line():
    with pytest.raises(BadModel, match=r"^small: ONNX Runtime cannot open these weights") as caught:
        open_session(b"no model", 1, "small")
    assert "\n" not in str(caught.value)


def test_weights_outside_of_the_file_are_not_read(exported, tmp_path):
    """External data names a path of the attacker's choice; a session over bytes has no folder to leave."""
    import onnx

    card, folder = exported
    model = onnx.load(folder / card.file)
    weight = next(each for each in model.graph.initializer if each.name.endswith("head.weight"))
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")

    with pytest.raises(BadModel, match="cannot open these weights"):
        open_session(model.SerializeToString(), 1, "small")


def test_a_card_of_any_size_takes_any_size(exported):
    card, folder = exported
    free = msgspec.structs.replace(card, input_edge=0)

    assert OnnxEngine(free, folder)(np.zeros((1, 24, 24, 3), np.uint8))["logits"].shape == (1, 5)
