"""A store, and an app over it that is asked without a socket."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from query.app import app_over
from query.reader import Reader
from query.sqlite_reader import SqliteReader
from tests.query.stores import StoreFile

Get = Callable[..., httpx.Response]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreFile]:
    file = StoreFile(tmp_path / "store.db")
    yield file
    file.close()


@pytest.fixture
def reader(store: StoreFile) -> Iterator[SqliteReader]:
    reader = SqliteReader(store.path)
    yield reader
    reader.close()


@pytest.fixture
def get(reader: SqliteReader) -> Get:
    return asking(reader)


def asking(reader: Reader) -> Get:
    """GET a path from the service over this reader; faults of the service come back as answers."""
    transport = httpx.ASGITransport(app_over(reader), raise_app_exceptions=False)

    def get(path: str, host: str = "localhost", **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(ask())

    return get
