"""The embedded store: one SQLite file, one writing process, any number of readers."""

import logging
import sqlite3
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason
from contract.layers import layer_name, rank_of, schema_of_name
from contract.points import packed
from contract.readings import Entry, Point, ReadingSchema, SkippedReason
from worker.store import Lease, Outcome, Rescoring
from worker.store.check import BadBatch, checked
from worker.store.fold import Changes, changes_of, sessions_of
from worker.store.sqlite import people, rescoring, sessions
from worker.store.sqlite.chunks import append
from worker.store.sqlite.file import emptied_log, lock_writer, open_file, transaction, translated, unlock_writer

_log = logging.getLogger(__name__)


class SqliteStore:
    """A `Store` in a file of `contract.tables`; threads may share it.

    Raises, from any method, one line each: StoreUnwritable (full disk, read-only, locked), NotAStore, StoreTooNew,
    BadStore (damaged). After an error the store may be used again: the failed commit has left nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._writer_lock = lock_writer(self._path)
        try:
            self._connection = open_file(self._path)
        except BaseException:
            unlock_writer(self._path, self._writer_lock)
            raise
        self._lock = threading.Lock()
        self._uncleared = False  # the write-ahead log may still hold what was erased
        self._schema: ReadingSchema | None = None  # the last one seen, its id and its bytes
        self._schema_id, self._schema_body = "", b""

    def take(self, log: str, partition: int) -> Lease:
        """The partition under a new epoch, with the position to go on from."""
        with self._lock, translated(self._path), transaction(self._connection):
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
        """Apply the entries of `previous_offset` .. `next_offset - 1` in one transaction, and return the outcome."""
        with self._lock, translated(self._path), transaction(self._connection):
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
            marks = {key: sessions.high_water(self._connection, key) for key in sessions_of(batch)}
            changes = changes_of(batch, marks, partial(people.erased_among, self._connection))
            self._write(changes, batch.rows, schema)
            self._connection.execute(
                "UPDATE partitions SET next_offset = ?, rejected = rejected + ?, shed = shed + ? "
                "WHERE log = ? AND partition = ?",
                (
                    next_offset,
                    changes.skipped[SkippedReason.REJECTED],
                    changes.skipped[SkippedReason.SHED],
                    log,
                    partition,
                ),
            )
            self._uncleared |= bool(changes.erased)
        self._clear_log()
        return Outcome.APPLIED

    def take_rescoring(self, log: str, partition: int, schema: ReadingSchema) -> Rescoring:
        """The partition to be read again with this schema, under a new epoch; its workers are left alone."""
        with self._lock, translated(self._path), transaction(self._connection):
            _, until = self._position(log, partition) or (0, 0)
            found = rescoring.position(self._connection, log, partition, schema.id)
            rank, epoch, next_offset = found or (rescoring.rank(self._connection, schema.id), 0, 0)
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
        """Add readings of what the workers have stored, and return the outcome; see `RescoringStore`."""
        with self._lock, translated(self._path), transaction(self._connection):
            _, until = self._position(log, partition) or (0, 0)
            _, epoch, offset = rescoring.position(self._connection, log, partition, schema.id) or (0, 0, 0)
            if taken.epoch != epoch:
                return Outcome.FENCED
            if previous_offset != offset or next_offset > until:
                return Outcome.STALE
            try:
                rows = checked(points, schema, 0, len(points)).rows if points else packed([])
            except BadBatch as flaw:
                _log.error("refused readings of partition %d of log %s: %s", partition, log, flaw)
                return Outcome.REFUSED
            rescoring.add(self._connection, points, rows, taken.layer, schema)
            self._connection.execute(
                "UPDATE rescorings SET next_offset = ? WHERE log = ? AND partition = ? AND reading_schema = ?",
                (next_offset, log, partition, schema.id),
            )
        return Outcome.APPLIED

    def begin_alone(self, partition: int, offset: int) -> int:
        """Return 0: this store notes nothing."""
        return 0

    def skipped(self, log: str, partition: int) -> dict[SkippedReason, int]:
        """Return how many deliveries of a partition were skipped, by reason."""
        query = "SELECT rejected, shed FROM partitions WHERE log = ? AND partition = ?"
        with self._lock, translated(self._path):
            rejected, shed = self._connection.execute(query, (log, partition)).fetchone() or (0, 0)
        return {SkippedReason.REJECTED: rejected, SkippedReason.SHED: shed}

    def high_water(self, source: str, session: str) -> int | None:
        """The highest sequence applied of a session; None: nothing yet."""
        with self._lock, translated(self._path):
            return sessions.high_water(self._connection, (source, session))

    def interruptions(self, source: str, session: str) -> tuple[int, ...]:
        """The sequences of the interruptions that took numbers: those of before 1.1 of the wire format."""
        query = (
            "SELECT sequence FROM gaps WHERE source = ? AND session = ? AND reason = ? AND sequence >= 0 "
            "ORDER BY sequence"
        )
        with self._lock, translated(self._path):
            rows = self._connection.execute(query, (source, session, str(GapReason.INTERRUPTED))).fetchall()
        return tuple(sequence for (sequence,) in rows)

    def is_closed(self, source: str, session: str) -> bool:
        """Whether the session was looked at to its end."""
        query = "SELECT closed FROM sessions WHERE source = ? AND session = ?"
        with self._lock, translated(self._path):
            row = self._connection.execute(query, (source, session)).fetchone()
        return bool(row and row[0])

    def keeps_pictures(self, source: str, session: str) -> bool:
        """Return whether pictures of people may be kept, by the session's opening."""
        query = "SELECT keeps_pictures FROM sessions WHERE source = ? AND session = ?"
        with self._lock, translated(self._path):
            row = self._connection.execute(query, (source, session)).fetchone()
        return bool(row and row[0])

    def close(self) -> None:
        """Move the write-ahead log into the file, as far as disk and readers allow, and let the next writer in."""
        with self._lock:
            try:
                emptied_log(self._connection)
            except sqlite3.Error as error:  # the log stays beside the file; the next opening goes on from there
                _log.warning("%s: the write-ahead log stays beside the store (%s)", self._path, error)
            finally:
                self._connection.close()
                unlock_writer(self._path, self._writer_lock)

    def layer_for(self, schema: ReadingSchema) -> str:
        """The layer in which readings under a schema count before all others: its own, or a new one above."""
        with self._lock, translated(self._path):
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
            with self._lock, translated(self._path), transaction(self._connection):
                rescoring.add(self._connection, points, packed(points), layer, schema)

    def _position(self, log: str, partition: int) -> tuple[int, int] | None:
        """(epoch, next offset) of a partition; None: never taken."""
        query = "SELECT epoch, next_offset FROM partitions WHERE log = ? AND partition = ?"
        row: tuple[int, int] | None = self._connection.execute(query, (log, partition)).fetchone()
        return row

    def _write(self, changes: Changes, rows: NDArray[np.void], schema: ReadingSchema) -> None:
        sessions.write(self._connection, changes)
        people.erase(self._connection, changes.erased)
        people.write(self._connection, changes.people)
        if not changes.people:
            return
        schema_id = self._id_of(schema)
        for person, added in changes.people.items():
            for chunk, places in added.chunks.items():
                append(self._connection, person, chunk, schema_id, rows.take(places).tobytes())

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
            with self._lock, translated(self._path):
                self._uncleared = not emptied_log(self._connection)
