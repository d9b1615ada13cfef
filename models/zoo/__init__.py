"""The weights that are shipped, each with its model card."""

from pathlib import Path

from contract.errors import UnknownNet
from contract.model_card import ModelCard, read_card

FOLDER = Path(__file__).parent


def cards() -> dict[str, Path]:
    """Path of each shipped card by its name, in the order of the alphabet."""
    return {path.stem: path for path in sorted(FOLDER.glob("*/*.json"))}


def find(name: str) -> tuple[ModelCard, Path]:
    """The card of this name and the folder its weights lie in.

    Raises:
        UnknownNet: nothing of this name is shipped.
    """
    known = cards()
    if name not in known:
        raise UnknownNet(f"no net «{name}» in the zoo; there are: {', '.join(known)}")
    return read_card(known[name]), known[name].parent
