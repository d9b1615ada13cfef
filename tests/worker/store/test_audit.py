"""What a store states and does not hold is found, in both stores."""

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.errors import NotAStore
from mien.cli import app
from tests.worker.examples import SCHEMA, a_gap, a_point, an_opening
from tests.worker.store.harness import RedisHarness, SqliteHarness
from worker.store import Store
from worker.store.audit import flaws_of_file, flaws_of_redis


def filled(store: Store) -> None:
    entries = [an_opening(), *(a_point(n, "ann" if n % 2 else "bob") for n in range(1, 12)), a_gap(12)]
    epoch = store.take("log", 0).epoch
    store.commit("log", 0, epoch=epoch, previous_offset=0, next_offset=len(entries), entries=entries, schema=SCHEMA)
    store.close()


def test_a_sound_file_has_no_flaws(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path)
    filled(harness.open())

    assert list(flaws_of_file(harness.path)) == []
    printed = CliRunner().invoke(app, ["store", "check", str(harness.path)])
    assert (printed.exit_code, "everything that it states is there" in printed.output) == (0, True)


def test_rows_and_points_that_are_gone_are_named(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path)
    filled(harness.open())
    with sqlite3.connect(harness.path) as connection:
        connection.execute("DELETE FROM chunks WHERE person = 'ann'")
        connection.execute("DELETE FROM people WHERE person = 'bob'")
    connection.close()

    assert list(flaws_of_file(harness.path)) == [
        "person 'ann': the row states 6 points, 0 are there",
        "person 'bob': 5 points are there, and no row",
    ]
    printed = CliRunner().invoke(app, ["store", "check", str(harness.path)])
    assert printed.exit_code == 2
    assert "2 flaws; restore it from a copy" in printed.output


def test_what_is_no_store_is_no_sound_one(tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="there is no store"):
        list(flaws_of_file(tmp_path / "nothing.db"))
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    with pytest.raises(NotAStore, match="not a Mien store"):
        list(flaws_of_file(tmp_path / "other.db"))


def test_keys_that_are_gone_from_a_redis_are_named(tmp_path: Path) -> None:
    harness = RedisHarness(tmp_path)
    filled(harness.open())
    assert list(flaws_of_redis(harness.url)) == []

    (key,) = harness.client.keys("*:chunk:ann:*")
    harness.client.delete(key)

    assert list(flaws_of_redis(harness.url)) == ["person 'ann': the row states 6 points, 0 are there"]
