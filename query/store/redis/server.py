"""A Redis server as the readers meet it: its client and its layout."""

from typing import Any

import redis
from redis.exceptions import ResponseError

from contract.errors import BadStore, NotAStore, StoreTooNew
from contract.keys import LAYOUT, LAYOUT_VERSION
from runtime.redis import client

CONNECT_S, ANSWER_S = 2.0, 5.0


def server_at(url: str) -> "redis.Redis":
    """Return a client of the server at this address; it connects with its first command.

    Raises:
        BadRequest: no address of Redis.
    """
    return client(url, connect_s=CONNECT_S, answer_s=ANSWER_S, attempts=2)  # reads may be repeated


def partitions_of(server: Any, name: str) -> int:
    """Return how many partitions the Mien data on this server has.

    Raises:
        NotAStore: an empty server, or the data of another program.
        StoreTooNew: written by a newer Mien.
    """
    try:
        version, partitions = server.hmget(LAYOUT, "version", "partitions")
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        raise NotAStore(f"no Mien data at {name}: {LAYOUT} is not ours") from error
    if version is None and partitions is None:
        held = server.dbsize()
        seen = f"{held:,} keys of other programs" if held else "nothing stored; does a worker write there?"
        raise NotAStore(f"no Mien data at {name} ({seen})")
    if not (_is_number(version) and _is_number(partitions)):
        raise NotAStore(f"no Mien data at {name}: {LAYOUT} holds version {version!r}, partitions {partitions!r}")
    if int(version) > LAYOUT_VERSION:
        raise StoreTooNew(f"{name}: written by a newer Mien (layout {int(version)}; this one reads {LAYOUT_VERSION})")
    if int(version) < LAYOUT_VERSION:
        raise BadStore(f"{name}: layout {int(version)} of an older Mien; this one reads {LAYOUT_VERSION}")
    return int(partitions)


def _is_number(text: bytes | None) -> bool:
    return text is not None and text.isdigit()
