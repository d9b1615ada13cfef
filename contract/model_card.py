"""The model card: what an exported net expects, returns, is good for and how we know. JSON beside the ONNX file."""

import hashlib
from pathlib import Path

import msgspec

from contract.errors import BadModel
from contract.readings import ChannelKind


class Measurement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A number with the command that made it."""

    name: str
    value: float
    data: str
    command: str
    note: str = ""


class ModelCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one file of weights."""

    name: str
    version: str
    net: str  # architecture, a name of models.nets or the upstream's
    file: str  # ONNX file beside the card
    sha256: str
    task: str  # «expressions», «action_units» or «face_detection»
    labels: tuple[str, ...]
    input_edge: int  # px; 0: any size
    output: str  # name of the output tensor
    training_data: str
    licence: str
    intended_use: str
    limits: str
    source: str = ""
    precision: str = "fp32"
    weight_bits: int = 8  # of an int8 net; weights of 7 bits cannot saturate a processor without VNNI
    temperature: float = 1.0  # logits are divided by it before softmax or sigmoid
    measurements: tuple[Measurement, ...] = ()

    @property
    def kind(self) -> ChannelKind:
        """What the labels are."""
        return ChannelKind.ACTION_UNIT if self.task == "action_units" else ChannelKind.EXPRESSION


def read_card(path: Path) -> ModelCard:
    """The card in a JSON file.

    Raises:
        BadModel: the file is missing or does not have the fields of a card.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=ModelCard)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadModel(f"{path}: no readable model card ({error})") from error


def weights_of(card: ModelCard, folder: Path) -> bytes:
    """The bytes of the card's file, checked against its hash.

    Raises:
        BadModel: the file is missing or is not the one the card describes.
    """
    path = folder / card.file
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path}: the weights of {card.name} are missing ({error.strerror})") from error
    seen = hashlib.sha256(body).hexdigest()
    if seen != card.sha256:
        raise BadModel(f"{path}: sha256 {seen[:12]}… is not {card.sha256[:12]}… as its card says")
    return body
