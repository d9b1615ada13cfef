"""The embedded store: one SQLite file, one writing process, any number of readers."""

import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason
from contract.layers import layer_name, rank_of, schema_of_name
from contract.points import packed
from contract.readings import Entry, Point, ReadingSchema, SkippedReason
from contract.records import Gap
from contract.tables import INTERRUPTION
from worker.store import Lease, Outcome, Rescoring
from worker.store.check import BadBatch, checked
from worker.store.fold import Changes, Seen, SessionKey, changes_of, sessions_of
from worker.store.rescoring import dtype_of, grouped, missing
from worker.store.sqlite.file import emptied_log, lock_writer, open_file, transaction, translated, unlock_writer

PART_BYTES = 2048  # a part that has grown beyond is left alone; half a page keeps an append within one or two pages

_log = logging.getLogger(__name__)


class SqliteStore:
    """A `Store` in a file of `contract.tables`; threads may share it.

    Raises, from any method, one line each: StoreUnwritable (full disk, read-only, locked), NotAStore, StoreTooNew,
    BadStore (damaged). After an error the store may be used again: the failed commit has left nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._lock = lock_writer(self._path)
        try:
            self._connection = open_file(self._path)
        except BaseException:
            unlock_writer(self._path, self._lock)
            raise
        self._turn = threading.Lock()
        self._uncleared = False  # the write-ahead log may still hold what was erased
        self._schema: ReadingSchema | None = None  # the last one seen, its id and its bytes
        self._schema_id, self._schema_body = "", b""

    def take(self, log: str, partition: int) -> Lease:
        """The partition under a new epoch, with the position to go on from."""
        with self._turn, translated(self._path), transaction(self._connection):
            epoch, next_offset = self._position(log, partition) or (0, 0)
            self._connection.execute(
                "INSERT INTO partitions (log, partition, epoch, next_offset, store) VALUES (?, ?, ?, ?, "
                "coalesce((SELECT store FROM partitions WHERE store IS NOT NULL LIMIT 1), randomblob(16))) "
                "ON CONFLICT (log, partition) DO UPDATE SET epoch = excluded.epoch, store = excluded.store",
                (log, partition, epoch + 1, next_offset),
            )
            return Lease(epoch + 1, next_offset)

    def commit(
        self,
        log: str,
        partition: int,
        *,
        epoch: int,
        previous_offset: int,
        next_offset: int,
        entries: Sequence[Entry],
        schema: ReadingSchema,
    ) -> Outcome:
        """Apply the entries of `previous_offset` .. `next_offset - 1` in one transaction, or say why not."""
        with self._turn, translated(self._path), transaction(self._connection):
            epoch_now, offset_now = self._position(log, partition) or (None, 0)
            if epoch != epoch_now:
                return Outcome.FENCED
            if previous_offset != offset_now:
                return Outcome.STALE
            try:
                batch = checked(entries, schema, previous_offset, next_offset)
            except BadBatch as flaw:
                _log.error("refused a batch of partition %d of log %s: %s", partition, log, flaw)
                return Outcome.REFUSED
            marks = {key: self._high_water(key) for key in sessions_of(batch)}
            changes = changes_of(batch, marks, self._erased_among)
            self._write(changes, batch.rows, schema)
            self._connection.execute(
                "UPDATE partitions SET next_offset = ?, rejected = rejected + ?, shed = shed + ? "
                "WHERE log = ? AND partition = ?",
                (
                    next_offset,
                    changes.passed[SkippedReason.REJECTED],
                    changes.passed[SkippedReason.SHED],
                    log,
                    partition,
                ),
            )
            self._uncleared |= bool(changes.erased)
        self._clear_log()
        return Outcome.APPLIED

    def take_rescoring(self, log: str, partition: int, schema: ReadingSchema) -> Rescoring:
        """The partition to be read again with this schema, under a new epoch; its workers are left alone."""
        with self._turn, translated(self._path), transaction(self._connection):
            _, until = self._position(log, partition) or (0, 0)
            rank, epoch, next_offset = self._rescoring(log, partition, schema.id) or (self._rank(schema.id), 0, 0)
            self._connection.execute(
                "INSERT INTO rescorings (log, partition, reading_schema, rank, epoch, next_offset) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch",
                (log, partition, schema.id, rank, epoch + 1, next_offset),
            )
        return Rescoring(epoch + 1, next_offset, until, layer_name(schema.id, rank))

    def rescore(
        self,
        log: str,
        partition: int,
        *,
        taken: Rescoring,
        previous_offset: int,
        next_offset: int,
        points: Sequence[Point],
        schema: ReadingSchema,
    ) -> Outcome:
        """Add readings of what the workers have stored, or say why not; see `RescoringStore`."""
        with self._turn, translated(self._path), transaction(self._connection):
            _, until = self._position(log, partition) or (0, 0)
            _, epoch, offset = self._rescoring(log, partition, schema.id) or (0, 0, 0)
            if taken.epoch != epoch:
                return Outcome.FENCED
            if previous_offset != offset or next_offset > until:
                return Outcome.STALE
            try:
                rows = checked(points, schema, 0, len(points)).rows if points else packed([])
            except BadBatch as flaw:
                _log.error("refused readings of partition %d of log %s: %s", partition, log, flaw)
                return Outcome.REFUSED
            self._rescore(points, rows, taken.layer, schema)
            self._connection.execute(
                "UPDATE rescorings SET next_offset = ? WHERE log = ? AND partition = ? AND reading_schema = ?",
                (next_offset, log, partition, schema.id),
            )
        return Outcome.APPLIED

    def begin_alone(self, partition: int, offset: int) -> int:
        """0: nothing is noted."""
        return 0

    def passed(self, log: str, partition: int) -> dict[SkippedReason, int]:
        """How many deliveries of a partition were passed over, by reason."""
        query = "SELECT rejected, shed FROM partitions WHERE log = ? AND partition = ?"
        with self._turn, translated(self._path):
            rejected, shed = self._connection.execute(query, (log, partition)).fetchone() or (0, 0)
        return {SkippedReason.REJECTED: rejected, SkippedReason.SHED: shed}

    def high_water(self, source: str, session: str) -> int | None:
        """The highest sequence applied of a session; None: nothing yet."""
        with self._turn, translated(self._path):
            return self._high_water((source, session))

    def interruptions(self, source: str, session: str) -> tuple[int, ...]:
        """The sequences of the interruptions that took numbers: those of before 1.1 of the wire format."""
        query = (
            "SELECT sequence FROM gaps WHERE source = ? AND session = ? AND reason = ? AND sequence >= 0 "
            "ORDER BY sequence"
        )
        with self._turn, translated(self._path):
            rows = self._connection.execute(query, (source, session, str(GapReason.INTERRUPTED))).fetchall()
        return tuple(sequence for (sequence,) in rows)

    def is_closed(self, source: str, session: str) -> bool:
        """Whether the session was looked at to its end."""
        query = "SELECT closed FROM sessions WHERE source = ? AND session = ?"
        with self._turn, translated(self._path):
            row = self._connection.execute(query, (source, session)).fetchone()
        return bool(row and row[0])

    def keeps_pictures(self, source: str, session: str) -> bool:
        """Whether the session's opening said that pictures of people may be kept."""
        query = "SELECT keeps_pictures FROM sessions WHERE source = ? AND session = ?"
        with self._turn, translated(self._path):
            row = self._connection.execute(query, (source, session)).fetchone()
        return bool(row and row[0])

    def close(self) -> None:
        """Move the write-ahead log into the file, as far as disk and readers allow, and let the next writer in."""
        with self._turn:
            try:
                emptied_log(self._connection)
            except sqlite3.Error as error:  # the log stays beside the file; the next opening goes on from there
                _log.warning("%s: the write-ahead log stays beside the store (%s)", self._path, error)
            finally:
                self._connection.close()
                unlock_writer(self._path, self._lock)

    def layer_for(self, schema: ReadingSchema) -> str:
        """The layer in which readings under a schema count before all others: its own, or a new one above."""
        with self._turn, translated(self._path):
            names = [name for (name,) in self._connection.execute("SELECT id FROM reading_schemas")]
        highest = max(names, key=rank_of, default="")
        if schema_of_name(highest) == schema.id and rank_of(highest):
            return highest
        return layer_name(schema.id, rank_of(highest) + 1)

    def add_to_layer(self, points: Sequence[Point], schema: ReadingSchema, layer: str) -> None:
        """Add readings to a layer, one for each of a person and frame that is stored and that the layer lacks.

        Raises:
            StoreUnwritable, BadStore: nothing of this call was added.
        """
        if points:
            with self._turn, translated(self._path), transaction(self._connection):
                self._rescore(points, packed(points), layer, schema)

    def _position(self, log: str, partition: int) -> tuple[int, int] | None:
        """(epoch, next offset) of a partition; None: never taken."""
        query = "SELECT epoch, next_offset FROM partitions WHERE log = ? AND partition = ?"
        row: tuple[int, int] | None = self._connection.execute(query, (log, partition)).fetchone()
        return row

    def _rescoring(self, log: str, partition: int, schema_id: str) -> tuple[int, int, int] | None:
        """(rank, epoch, next offset) of a rescoring; None: never taken."""
        query = "SELECT rank, epoch, next_offset FROM rescorings WHERE log = ? AND partition = ? AND reading_schema = ?"
        row: tuple[int, int, int] | None = self._connection.execute(query, (log, partition, schema_id)).fetchone()
        return row

    def _rank(self, schema_id: str) -> int:
        """Of the schema's layer, the next one where it has none yet."""
        query = (
            "SELECT coalesce(max(CASE reading_schema WHEN ? THEN rank END), count(DISTINCT reading_schema) + 1) "
            "FROM rescorings"
        )
        rank: int = self._connection.execute(query, (schema_id,)).fetchone()[0]
        return rank

    def _rescore(self, points: Sequence[Point], rows: NDArray[np.void], layer: str, schema: ReadingSchema) -> None:
        schemas = self._connection.execute("SELECT id, body FROM reading_schemas").fetchall()
        dtypes = {name: dtype_of(body) for name, body in schemas}
        for (person, chunk), numbers in grouped(points).items():
            stored: dict[str, bytes] = {}
            query = "SELECT reading_schema, points FROM chunks WHERE person = ? AND chunk = ? ORDER BY part"
            for name, part in self._connection.execute(query, (person, chunk)):
                stored[name] = stored.get(name, b"") + part
            if kept := missing(numbers, rows, stored, layer, dtypes):
                self._connection.execute(
                    "INSERT OR IGNORE INTO reading_schemas (id, body) VALUES (?, ?)",
                    (layer, msgspec.json.encode(schema)),
                )
                self._append(person, chunk, layer, rows[kept].tobytes())

    def _high_water(self, key: SessionKey) -> int | None:
        row = self._connection.execute(
            "SELECT high_water FROM sessions WHERE source = ? AND session = ?", key
        ).fetchone()
        return row[0] if row else None

    def _erased_among(self, people: set[str]) -> set[str]:
        places = ", ".join("?" * len(people))
        query = f"SELECT person FROM erased WHERE person IN ({places})"
        return {person for (person,) in self._connection.execute(query, tuple(people))}

    def _write(self, changes: Changes, rows: NDArray[np.void], schema: ReadingSchema) -> None:
        self._write_sessions(changes)
        self._erase(changes.erased)
        self._write_people(changes.people)
        if not changes.people:
            return
        schema_id = self._id_of(schema)
        for person, added in changes.people.items():
            for chunk, places in added.chunks.items():
                self._append(person, chunk, schema_id, rows.take(places).tobytes())

    def _write_sessions(self, changes: Changes) -> None:
        run = self._connection.executemany
        run(
            "INSERT INTO sessions (source, session, high_water) VALUES (?, ?, ?) "
            "ON CONFLICT (source, session) DO UPDATE SET high_water = excluded.high_water",
            [(*key, mark) for key, mark in changes.marks.items()],
        )
        run(
            "UPDATE sessions SET uri = ?, opened_at = ?, dated = ?, width = ?, height = ?, fps = ?, sample_hz = ?, "
            "keeps_pictures = ?, name = ?, settings = ?, start_offset = ? WHERE source = ? AND session = ?",
            [
                (
                    *(o.uri, o.event_time, o.dated, *o.size_wh, o.fps, o.sample_hz, o.keeps_pictures),
                    *(o.name or None, o.settings or None, o.start_offset_us, o.source, o.session),
                )
                for o in changes.opened
            ],
        )
        run(
            "UPDATE sessions SET complete_until = ?, frames = ?, looked_at = ?, closed = ? "
            "WHERE source = ? AND session = ?",
            [(p.event_time, p.frames, p.looked_at, p.closed, *key) for key, p in changes.progress.items()],
        )
        run(
            "INSERT INTO gaps (source, session, sequence, begin, end, reason, faces) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(g.source, g.session, g.sequence, g.begin, g.end, str(g.reason), g.faces) for g in changes.gaps],
        )
        run(f"DELETE FROM gaps WHERE source = ? AND session = ? AND sequence = {INTERRUPTION}", changes.marks.keys())
        for key, gap in changes.interruptions.items():
            self._interrupt(key, gap, is_open=key not in changes.resumed)

    def _interrupt(self, key: SessionKey, gap: Gap, *, is_open: bool) -> None:
        """Store that a run was stopped here, unless another one of the session was further."""
        stored = self._connection.execute(
            "UPDATE sessions SET complete_until = ?, frames = ?, looked_at = ? "
            "WHERE source = ? AND session = ? AND (complete_until IS NULL OR complete_until <= ?)",
            (gap.begin, gap.frames, gap.looked_at, *key, gap.begin),
        )
        if stored.rowcount and is_open:
            self._connection.execute(
                "INSERT OR REPLACE INTO gaps (source, session, sequence, begin, end, reason) VALUES (?, ?, ?, ?, ?, ?)",
                (*key, INTERRUPTION, gap.begin, gap.end, str(gap.reason)),
            )

    def _erase(self, people: set[str]) -> None:
        """Delete the people's points, pictures and rows; the tombstones refuse what is replayed."""
        names = [(person,) for person in people]
        for statement in (
            "DELETE FROM chunks WHERE person = ?",
            "DELETE FROM people WHERE person = ?",
            "INSERT OR IGNORE INTO erased (person) VALUES (?)",
        ):
            self._connection.executemany(statement, names)

    def _write_people(self, people: Mapping[str, Seen]) -> None:
        self._connection.executemany(
            "INSERT INTO people (person, source, session, first_time, last_time, points) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (person) DO UPDATE SET first_time = min(first_time, excluded.first_time), "
            "last_time = max(last_time, excluded.last_time), points = points + excluded.points",
            [
                (person, added.source, added.session, added.first_time, added.last_time, added.points)
                for person, added in people.items()
            ],
        )
        self._connection.executemany(
            "UPDATE people SET picture = ?, picture_quality = ? "
            "WHERE person = ? AND (picture_quality IS NULL OR picture_quality < ?) "
            "AND EXISTS (SELECT 1 FROM sessions WHERE source = ? AND session = ? AND keeps_pictures)",
            [
                (point.picture, point.face.quality, person, point.face.quality, point.source, point.session)
                for person, added in people.items()
                for point in added.pictured
            ],
        )

    def _append(self, person: str, chunk: int, schema_id: str, body: bytes) -> None:
        """Append packed points to the last part of a chunk, or begin a new part behind a full one."""
        key = (person, chunk, schema_id)
        # || makes text of two blobs; the cast changes the type back, not the bytes
        done = self._connection.execute(
            "UPDATE chunks SET points = CAST(points || ? AS BLOB) WHERE rowid = "
            "(SELECT rowid FROM chunks WHERE person = ? AND chunk = ? AND reading_schema = ? "
            "ORDER BY part DESC LIMIT 1) "
            "AND length(points) <= ?",
            (body, *key, PART_BYTES - len(body)),
        )
        if not done.rowcount:
            self._connection.execute(
                "INSERT INTO chunks (person, chunk, reading_schema, part, points) VALUES (?, ?, ?, "
                "(SELECT count(*) FROM chunks WHERE person = ? AND chunk = ? AND reading_schema = ?), ?)",
                (*key, *key, body),
            )

    def _id_of(self, schema: ReadingSchema) -> str:
        """The schema's id; the schema is stored with the first points that it explains."""
        if schema is not self._schema:
            self._schema, self._schema_id, self._schema_body = schema, schema.id, msgspec.json.encode(schema)
        self._connection.execute(
            "INSERT OR IGNORE INTO reading_schemas (id, body) VALUES (?, ?)",
            (self._schema_id, self._schema_body),
        )
        return self._schema_id

    def _clear_log(self) -> None:
        """Empty the write-ahead log while it may hold the erased; a reader may put that off until a later commit."""
        if self._uncleared:
            with self._turn, translated(self._path):
                self._uncleared = not emptied_log(self._connection)
