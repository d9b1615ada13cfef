"""Reads the store file that the embedded worker writes: the SQLite side of `query.store`."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from contract.errors import BadStore, NotAStore, NotFound, StoreTooNew
from contract.points import Columns, chunk_of, unpack
from contract.readings import ReadingSchema
from contract.tables import APPLICATION_ID, LAYOUT_VERSION
from query.store import GapSpan, PeopleAfter, Person, Session, settings_of, still_open
from query.store.rescored import Part, points_in_force, runs, schemas_in_force

TICK_NS = 50_000_000  # file systems stamp writes to a few ms

NAMED_LAYOUT = 4  # the first whose sessions have a name and settings


class SqliteReader:
    """Reads the store file of `contract.tables`, also while a worker writes it.

    Threads may share it: every snapshot borrows a read-only connection of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = (str(path), f"{path}-wal")
        self._idle: list[tuple[tuple[int, int], sqlite3.Connection]] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator["SqliteSnapshot"]:
        """Yield one state of the store.

        Raises:
            NotAStore: no such file, or the file of another program.
            StoreTooNew: written by a newer Mien.
            BadStore: damaged, or locked by another process.
        """
        try:
            file, connection = self._borrow()
            version = self._version()
            connection.execute("BEGIN")
            try:
                yield SqliteSnapshot(connection, version)
            finally:
                connection.execute("ROLLBACK")
                with self._lock:
                    self._idle.append((file, connection))
        except sqlite3.Error as error:
            raise BadStore(f"{self._path}: the store cannot be read ({error})") from error

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _version(self) -> str | None:
        """Return sizes and times of file and log; None within a tick of a write: the next one would look the same."""
        marks = []
        for file in self._files:
            with contextlib.suppress(OSError):
                status = os.stat(file)  # noqa: PTH116 - a third of the time of Path.stat, and every answer asks
                if time.time_ns() - status.st_mtime_ns < TICK_NS:
                    return None
                marks.append(f"{status.st_ino:x}.{status.st_size:x}.{status.st_mtime_ns:x}")
        return "-".join(marks)

    def _borrow(self) -> tuple[tuple[int, int], sqlite3.Connection]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise NotAStore(f"{self._path}: no store there ({error.strerror})") from error
        file = (status.st_dev, status.st_ino)
        with self._lock:
            mine, self._idle = self._idle, []
            fresh = [entry for entry in mine if entry[0] == file]
            found = fresh.pop() if fresh else None
            self._idle = fresh
        for stale_file, connection in mine:
            if stale_file != file:  # the file was replaced under our feet
                connection.close()
        return found or (file, _connect(self._path))


class SqliteSnapshot:
    """One state of a SQLite store; see `Snapshot`."""

    def __init__(self, connection: sqlite3.Connection, version: str | None) -> None:
        self._rows = connection.execute
        self._version = version
        self._schemas: dict[tuple[str, int, int], dict[str, ReadingSchema]] = {}  # by person and chunks
        named = connection.execute("PRAGMA user_version").fetchone()[0] >= NAMED_LAYOUT
        self._session = _SESSION + (", name, settings, start_offset" if named else ", NULL, NULL, 0")
        self._gap = "begin, end, reason, " + ("faces" if named else "0")

    def version(self) -> str | None:
        """Return a text that changes with every commit; None: not known at the moment."""
        return self._version

    def sessions(self) -> list[Session]:
        """Return all sessions, by source and time."""
        gaps: dict[tuple[str, str], list[GapSpan]] = {}
        for source, session, *span in self._rows(f"SELECT source, session, {self._gap} FROM gaps ORDER BY begin"):
            gaps.setdefault((source, session), []).append(GapSpan(*span))
        return [
            _session(row, gaps.get(row[:2], []))
            for row in self._rows(f"SELECT {self._session} FROM sessions ORDER BY source, opened_at, session")
        ]

    def session(self, source: str, session: str) -> Session:
        """Return one session; raises NotFound."""
        key = (source, session)
        row = self._rows(f"SELECT {self._session} FROM sessions WHERE source = ? AND session = ?", key).fetchone()
        if row is None:
            raise NotFound(f"no session {session!r} of a source {source!r}")
        gaps = self._rows(
            f"SELECT {self._gap} FROM gaps WHERE source = ? AND session = ? ORDER BY begin", key
        ).fetchall()
        return _session(row, [GapSpan(*gap) for gap in gaps])

    def headcounts(self) -> dict[tuple[str, str], int]:
        """Return how many people each (source, session) shows."""
        counted = self._rows("SELECT source, session, count(*) FROM people GROUP BY 1, 2")
        return {(source, session): count for source, session, count in counted}

    def people(self, source: str | None, after: PeopleAfter | None) -> Iterator[Person]:
        """Yield people by source, first time and id."""
        where, values = ["1"], list[str | int]()
        if source is not None:
            where.append("source = ?")
            values.append(source)
        if after is not None:
            where.append("(source, first_time, person) > (?, ?, ?)")
            values += [after.source, after.first_time, after.person]
        condition = " AND ".join(where)
        query = f"SELECT {_PERSON} FROM people WHERE {condition} ORDER BY source, first_time, person"
        for row in self._rows(query, values):
            yield _person(row)

    def person(self, person: str) -> Person:
        """Return one person; raises NotFound."""
        row = self._rows(f"SELECT {_PERSON} FROM people WHERE person = ?", (person,)).fetchone()
        if row is None:
            raise NotFound(f"no person {person[:80]!r} in the store")
        return _person(row)

    def picture(self, person: str) -> bytes | None:
        """JPEG of the person, where the source keeps pictures."""
        row = self._rows(
            "SELECT picture FROM people JOIN sessions USING (source, session) WHERE person = ? AND keeps_pictures",
            (person,),
        ).fetchone()
        return row[0] if row else None

    def schemas(self, person: str, begin: int, end: int) -> dict[str, ReadingSchema]:
        """Return the reading schemas, by id, of the chunks that touch [begin, end)."""
        return schemas_in_force(self._stored_schemas(person, begin, end))

    def _stored_schemas(self, person: str, begin: int, end: int) -> dict[str, ReadingSchema]:
        asked = (person, chunk_of(begin), chunk_of(end - 1))
        if asked not in self._schemas:
            rows = self._rows(
                "SELECT id, body FROM reading_schemas WHERE id IN "
                "(SELECT reading_schema FROM chunks WHERE person = ? AND chunk BETWEEN ? AND ?) ORDER BY id",
                asked,
            )
            self._schemas = {asked: {id_: msgspec.json.decode(body, type=ReadingSchema) for id_, body in rows}}
        return self._schemas[asked]

    def points(self, person: str, begin: int, end: int) -> Iterator[tuple[int, str, Columns]]:
        """(chunk number, schema id, points) of the chunks that touch [begin, end), by chunk number; uncut."""
        return points_in_force(self._stored_points(person, begin, end))

    def _stored_points(self, person: str, begin: int, end: int) -> Iterator[Part]:
        schemas = self._stored_schemas(person, begin, end)
        rows = self._rows(
            "SELECT chunk, reading_schema, points FROM chunks WHERE person = ? AND chunk BETWEEN ? AND ? "
            "ORDER BY chunk, reading_schema, part",
            (person, chunk_of(begin), chunk_of(end - 1)),
        )
        for run in runs(rows):
            (_, schema, _), (chunk, *_) = run[0], run[-1]
            try:
                yield chunk, schema, unpack([(number, body) for number, _, body in run], len(schemas[schema].channels))
            except (KeyError, ValueError) as error:
                raise BadStore(f"minute {chunk} of {person!r} does not fit its reading schema {schema}") from error

    def buckets(self, person: str, begin: int, end: int, level_s: int) -> None:
        """None: points in a file on this machine are near enough."""


_SESSION = """source, session, uri, coalesce(opened_at, 0), coalesce(dated, 0), width, height, fps, sample_hz,
    keeps_pictures, complete_until, frames, looked_at, closed"""
_PERSON = "person, source, session, first_time, last_time, points, picture IS NOT NULL"


def _session(row: tuple, gaps: list[GapSpan]) -> Session:  # type: ignore[type-arg]
    source, session, uri, opened_at, dated, width, height, fps, sample_hz, pictures, until, *rest = row
    frames, looked, closed, name, settings, start_offset = rest
    return Session(
        source=source,
        id=session,
        uri=uri,
        opened_at=opened_at,
        dated=bool(dated),
        size_wh=(width, height) if width and height else None,
        fps=fps,
        sample_hz=sample_hz,
        keeps_pictures=bool(pictures),
        complete_until=until,
        frames=frames,
        looked_at=looked,
        closed=bool(closed),
        gaps=tuple(still_open(gaps, until)),
        name=name,
        start_offset=start_offset,
        settings=settings_of(settings),
    )


def _person(row: tuple) -> Person:  # type: ignore[type-arg]
    person, source, session, first_time, last_time, points, has_picture = row
    return Person(
        id=person,
        source=source,
        session=session,
        first_time=first_time,
        last_time=last_time,
        points=points,
        has_picture=bool(has_picture),
    )


def _connect(path: Path) -> sqlite3.Connection:
    """Return a read-only connection to a store of our layout."""
    address = path.resolve().as_uri() + "?mode=ro"
    if not (os.access(path.parent, os.W_OK) or path.with_name(path.name + "-wal").exists()):
        address += "&immutable=1"  # on a read-only disk nothing can change, and SQLite cannot make its index of changes
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        _check_layout(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_layout(path: Path, connection: sqlite3.Connection) -> None:
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise NotAStore(f"{path}: not a Mien store ({error})") from error
    if application != APPLICATION_ID:
        raise NotAStore(f"{path}: not a Mien store (application id {application:#x}, wanted {APPLICATION_ID:#x})")
    if version > LAYOUT_VERSION:
        raise StoreTooNew(f"{path}: written by a newer Mien (layout {version}; this one reads up to {LAYOUT_VERSION})")
