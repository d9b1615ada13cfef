import hashlib
from pathlib import Path

import msgspec
import pytest

from contract.errors import BadModel
from contract.model_card import Measurement, ModelCard, read_card, weights_of
from contract.readings import ChannelKind

WEIGHTS = b"pretend these are weights"
CARD = ModelCard(
    name="face",
    version="1",
    net="resnet",
    file="face.onnx",
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    task="expressions",
    labels=("neutral", "happiness"),
    input_edge=112,
    output="logits",
    training_data="none",
    licence="Apache-2.0",
    intended_use="tests",
    limits="all",
    measurements=(Measurement("accuracy", 0.8, "test", "mien-train eval"),),
)


def test_the_task_says_what_the_labels_are() -> None:
    assert CARD.kind is ChannelKind.EXPRESSION
    assert msgspec.structs.replace(CARD, task="action_units").kind is ChannelKind.ACTION_UNIT


@pytest.mark.parametrize("body", [b"", b"[]", b'{"name": "face"}', b"\xff\xfe"])
def test_what_is_no_card_is_named(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(body)

    with pytest.raises(BadModel, match="no readable model card"):
        read_card(path)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"absent\.json: no readable model card"):
        read_card(tmp_path / "absent.json")


def test_only_the_weights_that_the_card_describes_are_used(tmp_path: Path) -> None:
    path = tmp_path / "face.onnx"
    with pytest.raises(BadModel, match="weights of face are missing"):
        weights_of(CARD, tmp_path)
    path.write_bytes(WEIGHTS)
    assert weights_of(CARD, tmp_path) == WEIGHTS
    path.write_bytes(WEIGHTS + b"!")

    with pytest.raises(BadModel, match="as its card says"):
        weights_of(CARD, tmp_path)
