"""A Redis server as the readers meet it: its address without secrets, its errors in our words, its layout."""

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry

from contract.errors import BadRequest, BadStore, NotAStore, StoreTooNew, StoreUnavailable
from contract.keys import LAYOUT, LAYOUT_VERSION

CONNECT_S, ANSWER_S = 2.0, 5.0
RETRY = Retry(ConstantBackoff(0.05), 1)  # a connection that a restart has cut is made anew; reads may be repeated

_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)
_FOR_NOW = (ConnectionError, TimeoutError, MasterDownError, ClusterDownError, TryAgainError)


def server_at(url: str) -> "redis.Redis":
    """A client of the server at this address; it connects when it is first asked.

    Raises:
        BadRequest: no address of Redis. The text leaves it out, for it may hold a password.
    """
    try:
        return redis.Redis.from_url(url, socket_connect_timeout=CONNECT_S, socket_timeout=ANSWER_S, retry=RETRY)
    except (ValueError, TypeError):
        raise BadRequest(
            "no address of Redis; wanted redis://[user:password@]host[:port][/number], rediss://… or "
            "unix:///path/of/socket, with special characters of a password percent-encoded"
        ) from None  # the cause may quote a part of the password


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """The errors of Redis in our words.

    Raises:
        StoreUnavailable: no answer, or not for now: loading, in failover, too many clients.
        BadStore: it refuses us or its keys are not as we write them.
    """
    try:
        yield
    except _REFUSALS as error:
        raise BadStore(f"{name}: Redis refuses us ({error}); user and password go into the address") from error
    except _FOR_NOW as error:
        raise StoreUnavailable(f"{name}: Redis does not answer ({error})") from error
    except RedisError as error:
        if str(error).rpartition("caused error: ")[2].startswith("BUSY"):  # a long script; pipelines put words before
            raise StoreUnavailable(f"{name}: Redis is busy ({error})") from error
        raise BadStore(f"{name}: the store cannot be read ({error})") from error


def partitions_of(server: Any, name: str) -> int:
    """How many partitions the Mien data on this server has.

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
