"""Records as a newer Mien would write them, and a worker that knows them."""

from typing import Any

import msgspec

from contract import wire

NEW_FIELD = {"added": "in a newer version"}


def write_minor(minor: int) -> None:
    """This process writes version 1.`minor` from now on: one more field behind those that are known."""
    for kind, content_type in list(wire._CONTENT_TYPES.items()):
        wire._CONTENT_TYPES[kind] = content_type.replace(b";v=1.%d" % wire.MINOR, b";v=1.%d" % minor)
    encode = wire._encode
    wire._encode = lambda record: encode((*msgspec.to_builtins(record, builtin_types=(bytes,)), NEW_FIELD))


def write_major(major: int) -> None:
    """This process writes version `major`.0 from now on, whose fields happen to be ours."""
    for kind, content_type in list(wire._CONTENT_TYPES.items()):
        wire._CONTENT_TYPES[kind] = content_type.replace(b";v=1.", b";v=%d." % major)


def read_major(major: int) -> None:
    """This process reads versions up to `major`.x from now on."""
    decoder_of = wire._decoder_of

    def newer(content_type: bytes) -> Any:
        for version in range(2, major + 1):
            content_type = content_type.replace(b";v=%d." % version, b";v=1.")
        return decoder_of(content_type)

    wire._decoder_of = newer  # type: ignore[assignment]
