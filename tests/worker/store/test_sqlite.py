import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs

from contract.errors import BadStore, NotAStore, StoreTooNew, StoreUnwritable
from contract.points import unpack
from contract.readings import ReadingSchema, Skipped, SkippedReason
from contract.tables import APPLICATION_ID, LAYOUT_VERSION
from tests.worker.examples import SCHEMA, a_point, an_erasure, an_opening
from tests.worker.store.committer import LOG, commit_all, the_log
from tests.worker.store.harness import SqliteHarness, fold
from worker.store import Lease, Outcome
from worker.store.sqlite import SqliteStore
from worker.store.sqlite.chunks import PART_BYTES

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


@pytest.fixture
def lease(store: SqliteStore) -> Lease:
    return store.take(LOG, 0)


def commit(store: SqliteStore, lease: Lease, entries: list, begin: int = 0) -> Outcome:
    end = begin + len(entries)
    return store.commit(
        LOG, 0, epoch=lease.epoch, previous_offset=begin, next_offset=end, entries=entries, schema=SCHEMA
    )


def test_the_query_layer_finds_points_and_the_schema_that_explains_them(
    store: SqliteStore, lease: Lease, path: Path
) -> None:
    commit(store, lease, [an_opening(), *(a_point(i) for i in range(1, 300))])

    with sqlite3.connect(path) as reader:
        rows = reader.execute("SELECT chunk, points FROM chunks WHERE person = 'ann' ORDER BY chunk, part").fetchall()
        body = reader.execute(
            "SELECT body FROM reading_schemas WHERE id IN (SELECT reading_schema FROM chunks)"
        ).fetchone()[0]
    reader.close()

    columns = unpack(rows, 3)
    assert msgspec.json.decode(body, type=ReadingSchema) == SCHEMA
    assert columns.event_time.tolist() == [i * 40_000 for i in range(1, 300)]
    assert np.allclose(columns.values, (0.25, 0.75, 0.5), atol=1 / 65535)  # stored in two bytes
    assert columns.box_xywh[0].tolist() == [10.5, 20.5, 30.0, 41.0]


def test_parts_stay_small_so_that_an_append_rewrites_little(store: SqliteStore, lease: Lease, path: Path) -> None:
    for begin in range(0, 1400, 7):
        commit(store, lease, [a_point(i) for i in range(begin, begin + 7)], begin=begin)

    with sqlite3.connect(path) as reader:
        parts = reader.execute("SELECT chunk, part, length(points) FROM chunks ORDER BY chunk, part").fetchall()
    reader.close()
    assert len(parts) > 10
    assert max(length for _, _, length in parts) <= PART_BYTES
    assert [part for _, part, _ in parts] == list(range(len(parts)))  # all in the first minute


def test_a_reader_is_never_blocked_and_sees_one_state(store: SqliteStore, lease: Lease, path: Path) -> None:
    commit(store, lease, [an_opening(), a_point(1)])
    reader = sqlite3.connect(path, timeout=0, isolation_level=None)
    count = "SELECT points FROM people"
    reader.execute("BEGIN")
    before = reader.execute(count).fetchone()

    assert commit(store, lease, [a_point(2)], begin=2) is Outcome.APPLIED

    assert reader.execute(count).fetchone() == before == (1,)
    reader.execute("ROLLBACK")
    assert reader.execute(count).fetchone() == (2,)
    reader.close()


def test_a_second_writer_is_told_at_once_and_gets_in_when_the_first_is_gone(store: SqliteStore, path: Path) -> None:
    with pytest.raises(StoreUnwritable, match=r"store\.db: another process is writing this store"):
        SqliteStore(path)

    store.close()
    SqliteStore(path).close()
    store.__init__(path)  # type: ignore[misc] # so that the fixture may close it


def test_a_link_to_the_store_is_the_same_store(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias.db"
    alias.symlink_to(path)

    with pytest.raises(StoreUnwritable, match="another process"):
        SqliteStore(alias)


def test_a_closed_store_is_one_file(path: Path) -> None:
    store = SqliteStore(path)
    commit(store, store.take(LOG, 0), [an_opening()])

    store.close()

    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


def test_threads_may_share_a_store(store: SqliteStore) -> None:
    def write(log: str) -> None:
        lease = store.take(log, 0)
        for n in range(50):
            point = a_point(n, log, source=log)
            outcomes.append(
                store.commit(
                    log, 0, epoch=lease.epoch, previous_offset=n, next_offset=n + 1, entries=[point], schema=SCHEMA
                )
            )

    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=write, args=(f"log-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [Outcome.APPLIED] * 200
    assert [store.high_water(f"log-{n}", "s1") for n in range(4)] == [49] * 4


def test_nothing_of_the_erased_stays_in_the_files(store: SqliteStore, lease: Lease, path: Path) -> None:
    face = b"a face that must be forgotten " * 200  # longer than a page
    secret = "person-to-be-forgotten"
    log = [an_opening(keeps_pictures=True), a_point(1, secret, quality=0.4, picture=face)]
    log += [a_point(2, secret, quality=0.8, picture=face[::-1]), *(a_point(i, secret) for i in range(3, 200))]
    commit(store, lease, log)

    commit(store, lease, [an_erasure(secret)], begin=len(log))

    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert face[:60] not in left
    assert face[::-1][:60] not in left
    assert left.count(secret.encode()) == 1  # the tombstone


def test_a_reader_delays_the_wiping_but_neither_the_erasure_nor_the_worker(
    store: SqliteStore, lease: Lease, path: Path
) -> None:
    face = b"a face that must be forgotten " * 20
    commit(store, lease, [an_opening(keeps_pictures=True), a_point(1, picture=face)])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM people").fetchone() == (1,)

    assert commit(store, lease, [an_erasure("ann")], begin=2) is Outcome.APPLIED
    reader.execute("ROLLBACK")
    assert reader.execute("SELECT count(*) FROM people").fetchone() == (0,)
    reader.close()
    commit(store, lease, [a_point(2, "bob")], begin=3)

    assert face[:60] not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_file_of_another_kind_is_not_touched(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 500)

    with pytest.raises(NotAStore, match=r"store\.db: not a Mien store"):
        SqliteStore(path)

    assert path.read_bytes() == b"Dear diary, " * 500
    assert list(path.parent.iterdir()) == [path]


def test_the_database_of_another_program_is_not_touched(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (body TEXT)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(NotAStore, match=f"application id 0x0, wanted {APPLICATION_ID:#x}"):
        SqliteStore(path)

    assert path.read_bytes() == before


def test_a_store_of_a_newer_mien_is_left_alone(path: Path) -> None:
    SqliteStore(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {LAYOUT_VERSION + 1}")
    newer.close()

    with pytest.raises(StoreTooNew, match=rf"layout {LAYOUT_VERSION + 1}; this one writes {LAYOUT_VERSION}"):
        SqliteStore(path)


def test_a_store_of_the_first_layout_goes_on_with_the_counters_of_ours(path: Path) -> None:
    store = SqliteStore(path)
    commit(store, store.take(LOG, 0), [an_opening(), a_point(1)])
    store.close()
    with sqlite3.connect(path) as older:
        older.execute("ALTER TABLE partitions DROP COLUMN rejected")
        older.execute("ALTER TABLE partitions DROP COLUMN shed")
        older.execute("DROP TABLE rescorings")
        for table, column in (
            ("sessions", "name"),
            ("sessions", "settings"),
            ("sessions", "start_offset"),
            ("gaps", "faces"),
            ("partitions", "store"),
        ):
            older.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        older.execute("PRAGMA user_version = 1")
    older.close()

    store = SqliteStore(path)
    lease = store.take(LOG, 0)
    assert lease.next_offset == 2
    commit(store, lease, [Skipped(reason=SkippedReason.SHED), a_point(2)], begin=2)

    assert store.skipped(LOG, 0) == {SkippedReason.REJECTED: 0, SkippedReason.SHED: 1}
    assert SqliteHarness(path.parent).contents() == fold(
        [
            structs.replace(an_opening(), name="", settings=""),
            a_point(1),
            Skipped(reason=SkippedReason.SHED),
            a_point(2),
        ]
    )
    store.close()
    with sqlite3.connect(path) as reader:
        assert reader.execute("PRAGMA user_version").fetchone() == (LAYOUT_VERSION,)
        tables = {row[0] for row in reader.execute("SELECT name FROM pragma_table_info('partitions')")}
    reader.close()
    assert tables == {"log", "partition", "epoch", "next_offset", "rejected", "shed", "store"}


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()

    SqliteStore(path).close()

    assert SqliteHarness(path.parent).contents() == fold([])


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("missing/store.db", "cannot be written .No such file or directory"),  # no such folder
        (".", "cannot be opened for writing"),  # a folder
        ("file/store.db", "cannot be written .Not a directory"),  # a folder that is a file
    ],
)
def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "folder"
    folder.mkdir()

    with pytest.raises(StoreUnwritable, match=words) as refusal:
        SqliteStore(folder if place == "." else tmp_path / place)

    assert "\n" not in str(refusal.value)


def test_a_damaged_store_is_no_reading(path: Path) -> None:
    store = SqliteStore(path)
    commit(store, store.take(LOG, 0), [an_opening(), *(a_point(i) for i in range(1, 400))])
    store.close()
    body = bytearray(path.read_bytes())
    body[4096:] = bytes(255 for _ in body[4096:])
    path.write_bytes(body)

    store = SqliteStore(path)
    with pytest.raises(BadStore, match="damaged"):
        store.take(LOG, 0)
    store.close()


def test_a_locked_store_says_so(store: SqliteStore, path: Path) -> None:
    store._connection.execute("PRAGMA busy_timeout = 0")  # instead of five seconds of waiting
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnwritable, match="locked by another process"):
        store.take(LOG, 0)

    other.execute("ROLLBACK")
    other.close()
    assert store.take(LOG, 0) == Lease(1, 0)


def test_a_commit_that_fails_half_way_leaves_nothing_and_may_be_repeated(
    store: SqliteStore, lease: Lease, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*chunk: object) -> None:
        raise MemoryError

    log = [an_opening(), a_point(1), an_erasure("bob")]
    monkeypatch.setattr("worker.store.sqlite.append", fail)  # sessions, tombstones and people are written by then
    with pytest.raises(MemoryError):
        commit(store, lease, log)
    monkeypatch.undo()

    assert SqliteHarness(path.parent).contents() == fold([])
    assert commit(store, lease, log) is Outcome.APPLIED
    assert SqliteHarness(path.parent).contents() == fold(log)


def test_a_full_store_loses_nothing_and_goes_on_when_there_is_room(
    store: SqliteStore, lease: Lease, path: Path
) -> None:
    entries = [an_opening(), *(a_point(i) for i in range(1, 4000))]
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    at, error = 0, ""

    while not error and at < len(entries):
        try:
            commit(store, lease, entries[at : at + 64], begin=at)
            at += 64
        except StoreUnwritable as full:
            error = str(full)

    assert "no room left on the disk" in error
    harness = SqliteHarness(path.parent)
    assert at > 0
    assert harness.contents() == fold(entries[:at])
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert commit(store, lease, entries[at:], begin=at) is Outcome.APPLIED
    assert harness.contents() == fold(entries)


def test_a_full_disk_loses_nothing_and_a_read_only_one_is_named(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace for a tiny disk: needs root (unshare --mount)")

    child = [*unshare, sys.executable, "-m", "tests.worker.store.disk_filler", str(tmp_path)]
    done = subprocess.run(child, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["at"] > 64
    assert re.search("no room left on the disk|the disk refuses", seen["error"])
    assert "everything committed is kept" in seen["error"]
    assert seen["kept"]
    assert seen["went_on"]
    assert re.search("Read-only file system", seen["read_only"])


def test_a_killed_worker_loses_nothing_and_the_next_one_repeats_nothing(path: Path) -> None:
    log, harness = the_log(), SqliteHarness(path.parent)
    moments = np.random.default_rng().integers(1, 60, 4)  # acknowledged commits before the kill, then 0-10 ms more
    for commits in moments.tolist():
        acknowledged = killed_after(path, commits)

        position = harness.position(LOG, 0)
        assert acknowledged <= position <= acknowledged + 7  # the last commit may have had no time to be acknowledged
        assert harness.contents() == fold(log[:position])

    store = SqliteStore(path)  # the lock died with the process
    commit_all(store, log)
    store.close()
    assert harness.contents() == fold(log)


def killed_after(path: Path, commits: int) -> int:
    """The last position that a worker process acknowledged before it was killed in the middle of its work."""
    child = [sys.executable, "-m", "tests.worker.store.committer", str(path)]
    with subprocess.Popen(child, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(commits)]
        threading.Event().wait(np.random.default_rng().uniform(0, 0.01))
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return int(said[-1])


def test_a_file_with_two_names_is_not_written(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "store.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    os.link(tmp_path / "store.db", tmp_path / "hard.db")

    with pytest.raises(StoreUnwritable, match="another process is writing this store"):
        SqliteStore(tmp_path / "link.db")
    with pytest.raises(StoreUnwritable, match="has 2 names \\(hard links\\)"):
        SqliteStore(tmp_path / "hard.db")
    first.close()


@pytest.mark.parametrize("pages", ["all", "some"])
def test_a_log_of_another_file_is_found_when_the_store_is_opened(tmp_path: Path, pages: str) -> None:
    for name, count in (("a", 400), ("b", 3000)):
        store = SqliteStore(tmp_path / f"{name}.db")
        lease = store.take(LOG, 0)
        commit(store, lease, [an_opening(), *(a_point(n, f"p{n % 97}") for n in range(1, count))])
        if name == "b":
            if pages == "some":  # the file first holds what was committed, then the log the rest
                store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                commit(store, lease, [a_point(n, f"p{n % 97}") for n in range(count, count + 90)], begin=count)
            shutil.copy(tmp_path / "b.db-wal", tmp_path / "a.db-wal")
        store.close()

    before = (tmp_path / "a.db").read_bytes()

    with pytest.raises(BadStore, match=r"a\.db: (damaged|the write-ahead log beside it is another store's)"):
        SqliteStore(tmp_path / "a.db")

    assert (tmp_path / "a.db").read_bytes() == before


def test_a_log_that_a_killed_writer_left_is_gone_on_with(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    commit(store, store.take(LOG, 0), [an_opening(), a_point(1)])
    for name in ("store.db", "store.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"copy-{name}")
    store.close()

    copy = SqliteStore(tmp_path / "copy-store.db")

    assert copy.high_water("cam", "s1") == 1
    copy.close()
