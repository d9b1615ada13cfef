"""What `--help` shows."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from mien.cli import app


def options(command: Any, name: str = "mien") -> Iterator[tuple[str, str]]:
    """Every option and argument below a command of Typer's, with its help."""
    for each in command.params:
        yield f"{name} {each.name}", getattr(each, "help", None) or ""
    for below, one in getattr(command, "commands", {}).items():
        yield from options(one, f"{name} {below}")


def test_no_help_is_swallowed_as_markup() -> None:
    every = dict(options(typer.main.get_command(app)))

    assert len(every) > 60
    assert [name for name, text in every.items() if re.search(r"(?<!\\)\[[a-z]", text)] == []
    assert every["mien train out"].endswith(r"\[default: out/train/RECIPE]")
