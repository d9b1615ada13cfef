from pathlib import Path

import pytest

from query.store.choose import reader_of, shown
from query.store.redis import RedisReader
from query.store.sqlite import SqliteReader


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://me:geheim@redis.example/2", "rediss://redis.example/2"),
        ("redis://:ge/h@eim@host", "a Redis address that cannot be read"),
        ("redis://host?password=geheim&db=3", "redis://host?db=3"),
        ("unix://me:geheim@/run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("a@b.db", "a@b.db"),  # a file
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, wanted: str) -> None:
    assert shown(address) == wanted


def test_an_address_is_read_as_a_server_and_anything_else_as_a_file(tmp_path: Path) -> None:
    assert isinstance(reader_of("unix:///run/redis.sock"), RedisReader)
    assert isinstance(reader_of("redis.db"), SqliteReader)
    assert isinstance(reader_of(tmp_path / "redis:"), SqliteReader)
