import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from contract.errors import BadStore, NotAStore, NotFound, StoreTooNew
from contract.tables import APPLICATION_ID
from query.reader import PeopleAfter
from query.sqlite_reader import SqliteReader
from tests.query.stores import FACE_NET, JPEG, SECOND, StoreFile, every_frame, shares


def test_points_come_back_as_they_were_packed(store: StoreFile, reader: SqliteReader) -> None:
    values = shares(2_000)
    store.session()
    store.person("p", every_frame(2_000), values)  # 80 s: two minutes

    with reader.snapshot() as snapshot:
        stretches = list(snapshot.stretches("p", 0, 80 * SECOND))

    assert [(chunk, schema) for chunk, schema, _ in stretches] == [(0, FACE_NET.id), (1, FACE_NET.id)]
    seen = np.concatenate([part.values for _, _, part in stretches])
    np.testing.assert_allclose(seen, values, atol=0.5 / 65_535 + 1e-7)  # half a step of the packing, and float32


def test_a_snapshot_does_not_move_while_a_writer_writes(store: StoreFile, reader: SqliteReader) -> None:
    store.session()
    store.person("p", every_frame(10), shares(10))

    with reader.snapshot() as snapshot:
        before = snapshot.person("p").points
        store.person("p", every_frame(10, begin=SECOND), shares(10))
        during = snapshot.person("p").points
    with reader.snapshot() as snapshot:
        after = snapshot.person("p").points

    assert (before, during, after) == (10, 10, 20)


def test_threads_share_a_reader(store: StoreFile, reader: SqliteReader) -> None:
    store.session()
    store.person("p", every_frame(500), shares(500))
    seen: list[int] = []

    def read() -> None:
        for _ in range(20):
            with reader.snapshot() as snapshot:
                seen.extend(len(part) for _, _, part in snapshot.stretches("p", 0, 20 * SECOND))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [500] * 80


def test_a_store_that_was_replaced_is_opened_anew(store: StoreFile, reader: SqliteReader, tmp_path: Path) -> None:
    store.session("old")
    with reader.snapshot() as snapshot:
        assert [session.source for session in snapshot.sessions()] == ["old"]
    store.close()
    for file in tmp_path.glob("store.db*"):
        file.unlink()

    with pytest.raises(NotAStore), reader.snapshot():
        pass
    fresh = StoreFile(store.path)
    fresh.session("new")
    with reader.snapshot() as snapshot:
        assert [session.source for session in snapshot.sessions()] == ["new"]
    fresh.close()


def test_people_go_on_behind_a_person(store: StoreFile, reader: SqliteReader) -> None:
    for source, person in (("b", "p3"), ("a", "p2"), ("a", "p1")):
        store.session(source)
        store.person(person, every_frame(3), shares(3), source=source)

    with reader.snapshot() as snapshot:
        everyone = [person.id for person in snapshot.people(None, None)]
        rest = [person.id for person in snapshot.people(None, PeopleAfter("a", 0, "p1"))]
        of_b = [person.id for person in snapshot.people("b", None)]

    assert (everyone, rest, of_b) == (["p1", "p2", "p3"], ["p2", "p3"], ["p3"])


def test_a_picture_is_given_only_where_the_source_keeps_pictures(store: StoreFile, reader: SqliteReader) -> None:
    store.session("open", pictures=True)
    store.session("private", pictures=False)
    store.person("p", every_frame(3), shares(3), source="open", picture=JPEG)
    store.person("q", every_frame(3), shares(3), source="private", picture=JPEG)  # a fault of the writer

    with reader.snapshot() as snapshot:
        assert snapshot.picture("p") == JPEG
        assert snapshot.picture("q") is None


def test_nobody_is_not_found(store: StoreFile, reader: SqliteReader) -> None:
    with reader.snapshot() as snapshot:
        with pytest.raises(NotFound, match="'nobody'"):
            snapshot.person("nobody")
        with pytest.raises(NotFound, match="'nothing'"):
            snapshot.session("nothing", "s")


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


def test_a_folder_cannot_be_read_as_a_store(tmp_path: Path) -> None:
    refused(tmp_path, BadStore, "cannot be read")


def test_a_store_of_a_newer_layout_is_refused(store: StoreFile) -> None:
    store.execute("PRAGMA user_version=9")
    refused(store.path, StoreTooNew, "layout 9; this one reads up to 1")


def test_a_chunk_that_does_not_fit_its_schema_is_a_bad_store(store: StoreFile, reader: SqliteReader) -> None:
    store.session()
    store.person("p", every_frame(3), shares(3))
    store.execute("UPDATE chunks SET points = x'0102'")

    with reader.snapshot() as snapshot, pytest.raises(BadStore, match="does not fit its reading schema"):
        list(snapshot.stretches("p", 0, SECOND))


def test_a_finished_store_on_a_read_only_disk_is_read(
    store: StoreFile, reader: SqliteReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.session()
    store.close()  # the last one to leave empties and removes the log
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere, so a mode proves nothing

    with reader.snapshot() as snapshot:
        assert len(snapshot.sessions()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["store.db"]


def test_the_query_layer_cannot_write(store: StoreFile, reader: SqliteReader) -> None:
    with reader.snapshot() as snapshot, pytest.raises(sqlite3.OperationalError, match="readonly"):
        snapshot._rows("DELETE FROM people")
    assert APPLICATION_ID.to_bytes(4, "big") == b"Mien"
