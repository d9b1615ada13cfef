"""The nets that faces are read with, by the names of the zoo."""

from collections.abc import Iterable
from pathlib import Path

from contract.errors import UnknownNet
from contract.model_card import ModelCard
from models.engines import Engine
from models.engines.choose import choose
from models.zoo import find

READING_TASKS = ("expressions", "action_units")


def engines_of(names: Iterable[str], engine: str = "auto", threads: int = 1) -> list[Engine]:
    """Return the nets of these names, ready to run; `engine` is one of `models.engines.choose.ENGINES`.

    Raises:
        BadModel: a net that is not known, does not read faces, or does not run here.
    """
    return [choose(*_reading_net(name), engine=engine, threads=threads) for name in names]


def _reading_net(name: str) -> tuple[ModelCard, Path]:
    card, folder = find(name)
    if card.task not in READING_TASKS:
        raise UnknownNet(f"{name} is for {card.task.replace('_', ' ')}; --nets wants nets that read faces: mien models")
    return card, folder
