"""Stores of both kinds, and an app over them that is asked without a socket."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from redis.connection import Connection

from query.app import app_over
from query.listen import Listen
from query.store import Reader
from query.store.sqlite import SqliteReader
from tests.query.stores import Store, StoreFile, StoreOnRedis
from tests.servers import fresh_redis, redis_server

__all__ = ["fresh_redis", "redis_server"]
Get = Callable[..., httpx.Response]


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[StoreFile]:
    file = StoreFile(tmp_path / "store.db")
    yield file
    file.close()


@pytest.fixture
def file_reader(file_store: StoreFile) -> Iterator[SqliteReader]:
    reader = file_store.reader()
    yield reader
    reader.close()


@pytest.fixture
def redis_store(fresh_redis: str) -> Iterator[StoreOnRedis]:
    store = StoreOnRedis(fresh_redis)
    yield store
    store.close()


@pytest.fixture(params=["file_store", "redis_store"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each kind of store in turn."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def reader(store: Store) -> Iterator[Reader]:
    reader = store.reader()
    yield reader
    reader.close()


@pytest.fixture
def get(reader: Reader) -> Get:
    return asking(reader)


@pytest.fixture
def round_trips(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often something was sent to a server since the last time that was asked."""
    sent = [0]
    send = Connection.send_packed_command

    def counted(self: Connection, *arguments: object, **named: object) -> None:
        sent[0] += 1
        send(self, *arguments, **named)

    def since() -> int:
        seen, sent[0] = sent[0], 0
        return seen

    monkeypatch.setattr(Connection, "send_packed_command", counted)
    return since


def asking(reader: Reader, method: str = "GET", listen: Listen | None = None, content: bytes | None = None) -> Get:
    """GET a path from the service over this reader; faults of the service come back as answers."""
    transport = httpx.ASGITransport(app_over(reader, listen=listen), raise_app_exceptions=False)

    def get(path: str, host: str = "localhost", **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.request(method, path, headers=headers, content=content)

        return asyncio.run(ask())

    return get
