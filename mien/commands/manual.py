"""`mien manual` and `mien completion`: the man page and the shell completion, made of the commands themselves."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer


class Shell(StrEnum):
    """Shells that completion is written for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Of which shell.", show_default=False)]) -> None:
    """Print what makes a shell complete commands and options: `eval "$(mien completion bash)"`."""
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name="mien", complete_var="_MIEN_COMPLETE", shell=shell.value))


def teach_completion() -> None:
    """Make the commands answer the shells whose scripts `completion` prints."""
    from typer._completion_classes import completion_init

    completion_init()


def manual(context: typer.Context) -> None:
    """Print the man page: `mien manual | man -l -`."""
    from mien import __version__

    print("\n".join(man_page(context.find_root().command, __version__)))


def man_page(root: Any, version: str) -> Iterator[str]:
    """Yield the lines of mien(1), in the man macros of roff; `root` is the group of all commands, as click has it."""
    yield f'.TH MIEN 1 "" "mien {version}" "User Commands"'
    yield ".SH NAME"
    yield f"mien \\- {_text(root.help or '')}"
    yield ".SH SYNOPSIS"
    yield ".B mien\nCOMMAND [OPTION]... [ARGUMENT]..."
    yield ".SH COMMANDS"
    for name, command in _commands(root, "mien"):
        yield f".SS {_text(name)}"
        yield _text(command.help or "")
        for parameter in command.params:
            names = parameter.opts + parameter.secondary_opts
            is_option = parameter.param_type_name == "option"
            title = ", ".join(names) if is_option else parameter.metavar or parameter.name.upper()
            if title == "--help, -h" or not getattr(parameter, "help", None):
                continue
            yield f".TP\n.B {_text(title)}\n{_text(getattr(parameter, 'help', '') or '')}"
    yield ".SH ENVIRONMENT"
    yield ".TP\n.B MIEN_KAFKA_BOOTSTRAP\nKafka brokers, host:port, several by commas."
    yield ".TP\n.B MIEN_REDIS_URL\nRedis, redis://host:port/number."
    yield ".SH EXIT STATUS"
    yield "0: done. 2: what was asked for cannot be done; the last line on standard error says why. 130: interrupted."


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (full name, command) of all commands below a group."""
    for each, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {each}")
        elif not command.hidden:
            yield f"{name} {each}", command


def _text(text: str) -> str:
    """Return text that roff prints as it is; the markup of help texts is left out."""
    plain = re.sub(r"\\\[", "[", " ".join(text.split()))
    safe = plain.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe
