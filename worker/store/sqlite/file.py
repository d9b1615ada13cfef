"""A store file opened for its one writer: lock, layout, and SQLite's errors as errors of Mien."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from contract.errors import BadStore, NotAStore, StoreTooNew, StoreUnwritable
from contract.tables import APPLICATION_ID, LAYOUT_VERSION, MIGRATIONS, SCHEMA

BUSY_S = 5.0  # for another program's short transaction; our own writers are told at once


def open_file(path: Path) -> sqlite3.Connection:
    """A connection that may write the store, which is made if there is none.

    WAL, so that readers are never blocked. `synchronous=NORMAL`: a killed process loses nothing; after a power cut the
    last commits may be missing, whole ones, so that results and offset roll back together.

    Raises:
        NotAStore, StoreTooNew, StoreUnwritable, BadStore.
    """
    _check_names(path)
    with translated(path):
        if path.exists() and path.with_name(path.name + "-wal").exists():
            _check_log(path)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            if _is_empty(connection):
                _lay_out(connection)
            _check(path, connection)
            _migrate(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")  # who is erased leaves no bytes behind
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as those of contract.errors, one line each.

    Raises:
        StoreUnwritable: full disk, read-only or locked.
        NotAStore: the file is no SQLite file.
        BadStore: it is damaged.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            raise  # not SQLite's word but a mistake of ours
        if code & 0xFF in _UNWRITABLE:
            raise StoreUnwritable(f"{path}: {_UNWRITABLE[code & 0xFF]} ({error})") from error
        if code & 0xFF == sqlite3.SQLITE_NOTADB:
            raise NotAStore(f"{path}: not a Mien store ({error})") from error
        if code & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise BadStore(f"{path}: the store is damaged ({error})") from error
        raise


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction: all of it is written, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back on a full disk
            connection.execute("ROLLBACK")
        raise


def emptied_log(connection: sqlite3.Connection) -> bool:
    """Move the write-ahead log into the file and cut it to nothing; False: a reader still needs it."""
    connection.execute("PRAGMA busy_timeout = 0")  # the worker does not wait for readers
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")
    return not busy


def lock_writer(path: Path) -> IO[bytes]:
    """The right to write the store, held until `unlock_writer` or the end of the process.

    A file beside the store, as a lock on the store itself would get in the way of SQLite's own.

    Raises:
        StoreUnwritable: another process writes this store, or its folder cannot be written.
    """
    place = lock_path(path)
    while True:
        try:
            file = place.open("ab")
        except OSError as error:
            raise StoreUnwritable(f"{path}: cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if place.exists() and os.path.samestat(os.fstat(file.fileno()), place.stat()):
                return file
        except BlockingIOError as error:
            file.close()
            raise StoreUnwritable(
                f"{path}: another process is writing this store; wanted to be the only one"
            ) from error
        except FileNotFoundError:
            pass
        file.close()  # its holder has removed it in between


def unlock_writer(path: Path, lock: IO[bytes]) -> None:
    """Let the next writer in."""
    lock_path(path).unlink(missing_ok=True)
    lock.close()


def lock_path(path: Path) -> Path:
    """Return the path of the file whose lock marks the writer."""
    return path.with_name(path.name + "-writer")


_UNWRITABLE = {
    sqlite3.SQLITE_FULL: "no room left on the disk; everything committed is kept",
    sqlite3.SQLITE_IOERR: "the disk refuses; everything committed is kept",
    sqlite3.SQLITE_READONLY: "the store is read-only",
    sqlite3.SQLITE_BUSY: "locked by another process",
    sqlite3.SQLITE_LOCKED: "locked by another process",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened for writing",
    sqlite3.SQLITE_PERM: "no permission",
}


def _is_empty(connection: sqlite3.Connection) -> bool:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return bool(application == 0 and tables == 0)


def _lay_out(connection: sqlite3.Connection) -> None:
    header = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT_VERSION};"
    _run(connection, f"{SCHEMA} {header}")


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring a file of an older layout to ours, a version at a time."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for older in range(version, LAYOUT_VERSION):
        _run(connection, f"{MIGRATIONS[older]} PRAGMA user_version = {older + 1};")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    """Run all of the statements, or none."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {statements} COMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_names(path: Path) -> None:
    """Raise if the file has several names: SQLite keeps its log beside one of them, and we our lock."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_file() and (names := path.stat().st_nlink) > 1:
            raise StoreUnwritable(
                f"{path}: the file has {names} names (hard links), under each of which another process might write;"
                " wanted one: copy it to a file of its own"
            )


def _check_log(path: Path) -> None:
    """Raise if the write-ahead log that lies beside the file does not belong to it; nothing is written.

    It must be known before a connection that may write is closed, as that moves the log into the file.
    """
    place = f"file:{quote(str(path))}?mode=ro"
    with contextlib.closing(sqlite3.connect(f"{place}&immutable=1", uri=True)) as without_log:
        identity = _identity(without_log)
    with contextlib.closing(sqlite3.connect(place, uri=True, timeout=BUSY_S)) as with_log:
        if identity is not None and _identity(with_log) != identity:
            raise BadStore(f"{path}: the write-ahead log beside it is another store's; restore both from one copy")
        found = [line for (line,) in with_log.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise BadStore(
            f"{path}: damaged ({found[0]}); is the write-ahead log beside it of another copy? Restore both from one"
        )


def _identity(connection: sqlite3.Connection) -> bytes | None:
    """The identity that the file was given with its first partition; None: none, or an older layout."""
    with contextlib.suppress(sqlite3.Error):
        row = connection.execute("SELECT store FROM partitions WHERE store IS NOT NULL LIMIT 1").fetchone()
        return row[0] if row else None
    return None


def _check(path: Path, connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise NotAStore(f"{path}: not a Mien store (application id {application:#x}, wanted {APPLICATION_ID:#x})")
    if version > LAYOUT_VERSION:
        raise StoreTooNew(f"{path}: written by a newer Mien (layout {version}; this one writes {LAYOUT_VERSION})")
