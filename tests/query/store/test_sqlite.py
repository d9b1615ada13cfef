import contextlib
import sqlite3
from pathlib import Path

import pytest

from contract.errors import BadStore, NotAStore, StoreTooNew
from contract.tables import APPLICATION_ID, LAYOUT_VERSION
from query.store.sqlite import SqliteReader
from tests.query.stores import SECOND, StoreFile, every_frame, shares


def test_a_snapshot_does_not_move_while_a_writer_writes(file_store: StoreFile, file_reader: SqliteReader) -> None:
    file_store.session()
    file_store.person("p", every_frame(10), shares(10))

    with file_reader.snapshot() as snapshot:
        before = snapshot.person("p").points
        file_store.person("p", every_frame(10, begin=SECOND), shares(10))
        during = snapshot.person("p").points
    with file_reader.snapshot() as snapshot:
        after = snapshot.person("p").points

    assert (before, during, after) == (10, 10, 20)


def test_a_store_that_was_replaced_is_opened_anew(
    file_store: StoreFile, file_reader: SqliteReader, tmp_path: Path
) -> None:
    file_store.session("old")
    with file_reader.snapshot() as snapshot:
        assert [session.source for session in snapshot.sessions()] == ["old"]
    file_store.close()
    for file in tmp_path.glob("store.db*"):
        file.unlink()

    with pytest.raises(NotAStore), file_reader.snapshot():
        pass
    fresh = StoreFile(file_store.path)
    fresh.session("new")
    with file_reader.snapshot() as snapshot:
        assert [session.source for session in snapshot.sessions()] == ["new"]
    fresh.close()


def refused(path: Path, kind: type[BadStore], message: str) -> None:
    reader = SqliteReader(path)
    with pytest.raises(kind, match=message), reader.snapshot():
        pass
    reader.close()


def test_files_that_are_no_store_are_refused(tmp_path: Path) -> None:
    text, other, empty = tmp_path / "text", tmp_path / "other.db", tmp_path / "empty"
    text.write_text("These are words, and more than a page of them would be needed. " * 40)
    empty.touch()
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE birds (name)")
    connection.close()

    refused(tmp_path / "missing", NotAStore, "no store there")
    refused(text, NotAStore, "file is not a database")
    refused(other, NotAStore, "application id 0x0, wanted 0x4d69656e")
    refused(empty, NotAStore, "application id")


def test_a_store_of_an_older_layout_is_read_as_it_is(tmp_path: Path) -> None:
    store = StoreFile(tmp_path / "s.db")
    store.session()
    store.gap(0, 1_000_000)
    for table, column in (
        ("sessions", "name"),
        ("sessions", "settings"),
        ("sessions", "start_offset"),
        ("gaps", "faces"),
    ):
        store.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    store.execute("PRAGMA user_version = 3")

    with contextlib.closing(SqliteReader(tmp_path / "s.db")) as reader, reader.snapshot() as snapshot:
        (session,) = snapshot.sessions()

    assert (session.name, dict(session.settings), session.gaps[0].faces) == (None, {}, 0)
    store.close()


def test_a_folder_cannot_be_read_as_a_store(tmp_path: Path) -> None:
    refused(tmp_path, BadStore, "cannot be read")


def test_a_store_of_a_newer_layout_is_refused(file_store: StoreFile) -> None:
    file_store.execute("PRAGMA user_version=9")
    refused(file_store.path, StoreTooNew, f"layout 9; this one reads up to {LAYOUT_VERSION}")


def test_a_finished_store_on_a_read_only_disk_is_read(
    file_store: StoreFile, file_reader: SqliteReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_store.session()
    file_store.close()  # the last one to leave empties and removes the log
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere, so a mode proves nothing

    with file_reader.snapshot() as snapshot:
        assert len(snapshot.sessions()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["store.db"]


def test_the_query_layer_cannot_write(file_store: StoreFile, file_reader: SqliteReader) -> None:
    with file_reader.snapshot() as snapshot, pytest.raises(sqlite3.OperationalError, match="readonly"):
        snapshot._rows("DELETE FROM people")
    assert APPLICATION_ID.to_bytes(4, "big") == b"Mien"
