"""The layout of a Triton repository: its configuration is that of the file, and the file runs as it says."""

import re

import msgspec
import numpy as np
import onnxruntime
import pytest

from contract.errors import BadModel, BadRequest
from models import zoo
from models.engines.onnx import OnnxEngine
from models.engines.triton import config, write_triton


def field(text: str, name: str) -> str:
    """The value of a field of the protobuf text."""
    found = re.search(rf"\b{name}: (\[[^\]]*\]|\"[^\"]*\"|\w+)", text)
    assert found, name
    return found[1].strip('"')


@pytest.mark.parametrize("name", ["expressions", "expressions.int8", "action_units"])
def test_a_shipped_net_runs_as_its_configuration_says(name, tmp_path):
    card, folder = zoo.find(name)

    home = write_triton(card, folder, tmp_path)

    text = (home / "config.pbtxt").read_text()
    session = onnxruntime.InferenceSession(home / "1" / "model.onnx")
    assert home.name == field(text, "name")
    given, answer = re.findall(r"(?:input|output) \[ (.*?) \]\n", text)
    edge = int(re.findall(r"\d+", field(given, "dims"))[0])
    crops = np.random.default_rng(0).integers(0, 256, (2, edge, edge, 3), np.uint8)
    assert field(given, "data_type") == "TYPE_UINT8"
    (logits,) = session.run([field(answer, "name")], {field(given, "name"): crops})
    assert list(logits.shape[1:]) == [int(each) for each in re.findall(r"\d+", field(answer, "dims"))]
    assert (home / "labels.txt").read_text().split() == list(card.labels)
    assert sorted(each.name for each in home.rglob("*") if each.is_file()) == [
        "config.pbtxt",
        "labels.txt",
        "model.onnx",
    ]
    assert OnnxEngine(card, folder)(crops)[card.output].shape == logits.shape


@pytest.mark.parametrize(("most", "wanted"), [(64, "[ 8, 16, 32, 64 ]"), (20, "[ 8, 16 ]"), (4, "[ 4 ]")])
def test_preferred_batches_are_powers_of_two_that_fit(most, wanted):
    card, _ = zoo.find("expressions")

    assert field(config(card, most), "preferred_batch_size") == wanted


def test_the_temperature_comes_along():
    card, _ = zoo.find("expressions")

    assert f'string_value: "{card.temperature}"' in config(card, 8)


def test_a_net_for_pictures_of_any_size_is_refused(tmp_path):
    with pytest.raises(BadRequest, match="centerface: input edge 0 px"):
        write_triton(*zoo.find("centerface"), tmp_path)


def test_a_file_that_is_not_the_cards_is_not_handed_on(tmp_path):
    card, folder = zoo.find("expressions")

    with pytest.raises(BadModel, match="as its card says"):
        write_triton(msgspec.structs.replace(card, sha256="0" * 64), folder, tmp_path)

    assert not list(tmp_path.rglob("config.pbtxt"))
