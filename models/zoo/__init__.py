"""The weights that are shipped, each with its model card."""

from pathlib import Path

import msgspec

from contract.errors import UnknownNet
from contract.model_card import ModelCard, read_card
from runtime.files import write_whole

FOLDER = Path(__file__).parent


def cards() -> dict[str, Path]:
    """Path of each shipped card by its name, in the order of the alphabet."""
    return {path.stem: path for path in sorted(FOLDER.glob("*/*.json"))}


def find(name: str) -> tuple[ModelCard, Path]:
    """The card of this name, or in this file (.json), and the folder its weights lie in.

    Raises:
        UnknownNet: nothing of this name is shipped.
        BadModel: the file is no card.
    """
    if name.endswith(".json"):
        return read_card(Path(name)), Path(name).parent
    known = cards()
    if name not in known:
        raise UnknownNet(f"no net «{name}» in the zoo; there are: {', '.join(known)}; or the file of a card (.json)")
    return read_card(known[name]), known[name].parent


def write_card(card: ModelCard, path: Path) -> None:
    """Write the card as indented JSON, whole or not at all.

    Raises:
        BadOutput: the folder cannot be written, or the disk is full.
    """
    write_whole(path, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
