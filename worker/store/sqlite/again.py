"""A video of the store read again by other nets: their readings come beside those that are stored, and nothing else."""

from collections.abc import Sequence

from contract.readings import Entry, Point, ReadingSchema, SkippedReason
from worker.store import Lease, Outcome
from worker.store.sqlite import SqliteStore


class ReadAgain:
    """A `Store` to which every session is new; what is committed changes the people of the store behind it in one way.

    A point adds a reading where that person and frame are stored without one in this layer, whatever is repeated or
    left off. Sessions, people, gaps, progress and pictures stay as they are.
    """

    def __init__(self, store: SqliteStore, schema: ReadingSchema) -> None:
        self._store = store
        self._layer = store.layer_for(schema)

    def take(self, log: str, partition: int) -> Lease:
        """The partition from its beginning: what reads a video again keeps no position."""
        return Lease(1, 0)

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
        """Add the readings of the points among the entries to the layer."""
        self._store.add_to_layer([entry for entry in entries if isinstance(entry, Point)], schema, self._layer)
        return Outcome.APPLIED

    def begin_alone(self, partition: int, offset: int) -> int:
        """Return 0: this store notes nothing."""
        return 0

    def skipped(self, log: str, partition: int) -> dict[SkippedReason, int]:
        """Return zeroes: skipped deliveries are not counted a second time."""
        return dict.fromkeys(SkippedReason, 0)

    def high_water(self, source: str, session: str) -> int | None:
        """Return None: a session is read from its beginning."""
        return None

    def interruptions(self, source: str, session: str) -> tuple[int, ...]:
        """Return no sequences: they do not matter here."""
        return ()

    def is_closed(self, source: str, session: str) -> bool:
        """Return False: a session is read to its end."""
        return False

    def keeps_pictures(self, source: str, session: str) -> bool:
        """Return False: people have theirs already."""
        return False

    def close(self) -> None:
        """The store behind it stays open."""
