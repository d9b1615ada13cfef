"""Compares what a store states with what is there; writes nothing."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from contract.errors import NotAStore
from contract.keys import LAYOUT, Keys
from contract.layers import rank_of
from contract.tables import APPLICATION_ID
from worker.store.rescoring import dtype_of
from worker.store.sqlite.file import translated

if TYPE_CHECKING:
    from worker.store.redis.server import RedisServer

_SCHEMAS = "SELECT id, body FROM reading_schemas"
_POINTS = "SELECT person, reading_schema, sum(length(points)) FROM chunks GROUP BY person, reading_schema"


def flaws_of_file(path: Path) -> Iterator[str]:
    """One line per person whose points are not all there, or who is not there; first what SQLite itself finds.

    Raises:
        NotAStore: there is no store under this name.
        BadStore: it cannot be read.
    """
    if not path.is_file():
        raise NotAStore(f"{path}: there is no store, wanted a file that `mien run --store` wrote")
    with translated(path):
        connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise NotAStore(f"{path}: not a Mien store (application id {application:#x})")
            yield from (line for (line,) in connection.execute("PRAGMA integrity_check(20)") if line != "ok")
            sizes = {name: _bytes_per_point(body) for name, body in connection.execute(_SCHEMAS)}
            found: dict[str, int] = {}
            for person, name, size in connection.execute(_POINTS):
                yield from _add(found, person, name, size, sizes)
            stated = dict(connection.execute("SELECT person, points FROM people"))
        finally:
            connection.close()
    yield from _differences(stated, found)


def flaws_of_redis(url: str) -> Iterator[str]:
    """The same of a Redis, one partition after the other.

    Raises:
        BadStore: it cannot be read; StoreUnavailable: it does not answer.
    """
    from worker.store.redis.server import RedisServer

    server = RedisServer(url)
    try:
        partitions = int(server.ask("HGET", LAYOUT, "partitions") or 0)
        for partition in range(partitions):
            keys = Keys(partition)
            sizes = {
                name.decode(): _bytes_per_point(body) for name, body in server.ask("HGETALL", keys.schemas).items()
            }
            for source in server.ask("SMEMBERS", keys.sources):
                for person in server.ask("ZRANGE", keys.people(source.decode()), 0, -1):
                    yield from _flaws_of_person(server, keys, person.decode(), sizes)
    finally:
        server.close()


def _flaws_of_person(server: "RedisServer", keys: Keys, person: str, sizes: Mapping[str, int]) -> Iterator[str]:
    points = server.ask("HGET", keys.person(person), "points")
    if points is None:
        return  # expired: the list keeps the name
    found: dict[str, int] = {}
    for member in server.ask("ZRANGE", keys.chunks(person), 0, -1):
        chunk, name = member.decode().split(":")
        size = server.ask("STRLEN", keys.chunk(person, int(chunk), name))
        yield from _add(found, person, name, size, sizes)
    yield from _differences({person: int(points)}, found)


def _bytes_per_point(schema_body: bytes) -> int:
    return dtype_of(schema_body).itemsize


def _add(found: dict[str, int], person: str, name: str, size: int, sizes: Mapping[str, int]) -> Iterator[str]:
    """Count the points of a chunk, unless a rescoring read them again."""
    if name not in sizes:
        yield f"person {person!r}: points under the reading schema {name}, which the store does not know"
    elif size % sizes[name]:
        yield f"person {person!r}: {size} bytes under {name}, wanted a multiple of {sizes[name]}"
    elif rank_of(name) == 0:
        found[person] = found.get(person, 0) + size // sizes[name]


def _differences(stated: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    for person in sorted(stated.keys() | found.keys()):
        if person not in stated:
            yield f"person {person!r}: {found[person]} points are there, and no row"
        elif stated[person] != found.get(person, 0):
            yield f"person {person!r}: the row states {stated[person]} points, {found.get(person, 0)} are there"
