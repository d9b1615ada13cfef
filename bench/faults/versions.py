"""Records as a newer Mien would write them, and a worker that knows them."""

from collections.abc import Callable
from typing import Any

import msgspec

from contract import wire

NEW_FIELD = {"added": "in a newer version"}


def write_minor(minor: int) -> None:
    """This process writes version 1.`minor` from now on: one more field behind those that are known."""
    for kind, (content_type, body_of) in list(wire._KIND_OF_RECORD.items()):
        wire._KIND_OF_RECORD[kind] = (content_type.replace(b";v=1.0", b";v=1.%d" % minor), _longer(body_of))


def write_major(major: int) -> None:
    """This process writes version `major`.0 from now on, whose bodies happen to be ours."""
    for kind, (content_type, body_of) in list(wire._KIND_OF_RECORD.items()):
        wire._KIND_OF_RECORD[kind] = (content_type.replace(b";v=1.", b";v=%d." % major), body_of)


def read_major(major: int) -> None:
    """This process reads versions up to `major`.x from now on."""
    kind_of = wire._kind_of

    def newer(content_type: bytes) -> Any:
        for version in range(2, major + 1):
            content_type = content_type.replace(b";v=%d." % version, b";v=1.")
        return kind_of(content_type)

    wire._kind_of = newer  # type: ignore[assignment]


def _longer(body_of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda record: (*msgspec.to_builtins(body_of(record), builtin_types=(bytes,)), NEW_FIELD)
