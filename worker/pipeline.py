"""The worker's story: deliveries in, batches, readings, points, commits."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from contract.readings import Entry, Point
from contract.records import Delivery, Face
from worker.batch import Batch, by_partition, in_batches
from worker.consume import Log
from worker.counters import Counters
from worker.portrait import Portraits
from worker.read import Reader, Values
from worker.store import Lease, Outcome, Store

ATTEMPTS = 5  # at one part of a batch, each under a fresh lease

_log = logging.getLogger(__name__)


class Worker:
    """Reads a log into a store, exactly once; whatever it remembers may be lost at any time.

    `counters` may be watched from another thread.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        *,
        batch_size: int = 32,
        wait_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self._store = store
        self._reader = reader
        self._batch_size = batch_size
        self._wait_s = wait_s
        self._clock = clock
        self._portraits = Portraits(store.keeps_pictures)
        self._leases: dict[tuple[str, int], Lease] = {}

    def run(self, log: Log) -> None:
        """Apply the log until it ends; whoever publishes is released, however this ends.

        Raises:
            RecordsMissing, CommitRefused, LeaseLost, UnreadableCrop, or the store's BadStore; what was committed stays.
        """
        try:
            deliveries = self._awaited(log.deliveries(self._wait_s / 4))
            for batch in in_batches(deliveries, self._batch_size, self._wait_s, self._clock):
                self.apply(batch)
        finally:
            log.abandon()

    def apply(self, batch: Sequence[Delivery]) -> None:
        """Read the faces of a batch together, then commit each partition's part of it."""
        fresh = [delivery for delivery in batch if delivery.offset >= self._lease(delivery).next_offset]
        entry_of = dict(zip(map(_place, fresh), self._entries(fresh), strict=True))
        for part in by_partition(fresh):
            self._commit(part, [entry_of[place] for place in map(_place, part)])
        self.counters.batches += 1

    def _entries(self, deliveries: Sequence[Delivery]) -> list[Entry]:
        """What the store is told of each delivery; all faces are read in one go."""
        records = [delivery.record for delivery in deliveries]
        with self.counters.timed("read"):
            readings = iter(self._reader([record.crop for record in records if isinstance(record, Face)]))
        with self.counters.timed("picture"):
            pictures = [self._portraits.of(record) for record in records]
        self.counters.crops += sum(isinstance(record, Face) for record in records)
        return [
            to_point(record, next(readings), picture) if isinstance(record, Face) else record
            for record, picture in zip(records, pictures, strict=True)
        ]

    def _commit(self, part: Batch, entries: Sequence[Entry]) -> None:
        """Commit one partition's part of a batch; where the partition has moved on under us, the rest of the part."""
        for attempt in range(ATTEMPTS):
            lease = self._lease(part[0])
            left = tuple(delivery for delivery in part if delivery.offset >= lease.next_offset)
            if not left:
                return
            part, entries = left, entries[-len(left) :]
            if attempt == 0 and part[0].offset > lease.next_offset:  # a hole, or another worker was here since
                self._drop_lease(part[0])
                continue
            outcome = self._offer(part, entries, lease)
            if outcome is Outcome.APPLIED:
                return
            if outcome is Outcome.REFUSED:
                raise CommitRefused(f"{_span(part)}: the store refuses this batch; its log says why")
            _log.warning("%s: %s, taking the partition again", _span(part), outcome)
            self._drop_lease(part[0])
        raise LeaseLost(f"{_span(part)}: not committed in {ATTEMPTS} attempts; another worker holds the partition")

    def _offer(self, part: Batch, entries: Sequence[Entry], lease: Lease) -> Outcome:
        assert_contiguous(part, lease.next_offset)
        next_offset = part[-1].offset + 1
        with self.counters.timed("commit"):
            outcome = self._store.commit(
                part[0].log,
                part[0].partition,
                epoch=lease.epoch,
                previous_offset=lease.next_offset,
                next_offset=next_offset,
                entries=entries,
                schema=self._reader.schema,
            )
        self.counters.commits += 1
        if outcome is Outcome.APPLIED:
            self.counters.records += len(entries)
            self._leases[part[0].log, part[0].partition] = Lease(lease.epoch, next_offset)
        return outcome

    def _lease(self, delivery: Delivery) -> Lease:
        """Our lease of the delivery's partition, taken when it is first met."""
        key = (delivery.log, delivery.partition)
        if key not in self._leases:
            self._leases[key] = self._store.take(*key)
        return self._leases[key]

    def _drop_lease(self, delivery: Delivery) -> None:
        del self._leases[delivery.log, delivery.partition]
        self.counters.retaken += 1

    def _awaited(self, deliveries: Iterator[Delivery | None]) -> Iterator[Delivery | None]:
        """The same deliveries, with the time spent waiting for them on the clock."""
        while True:
            with self.counters.timed("wait"):
                try:
                    delivery = next(deliveries)
                except StopIteration:
                    return
            yield delivery


class RecordsMissing(Exception):
    """The log skips records that the store has not seen; going on would lose them for good."""


class CommitRefused(Exception):
    """The store finds the batch itself wrong; repeating it cannot help."""


class LeaseLost(Exception):
    """Another worker takes the partition as often as we do."""


def to_point(face: Face, values: Values, picture: bytes | None) -> Point:
    """The reading of a face on its person's timeline."""
    return Point(
        source=face.source,
        session=face.session,
        sequence=face.sequence,
        event_time=face.event_time,
        frame=face.frame,
        person=face.person,
        box_xywh=face.box_xywh,
        quality=face.quality,
        values=values,
        picture=picture,
    )


def assert_contiguous(part: Batch, next_offset: int) -> None:
    """Raise RecordsMissing unless the deliveries are exactly those from `next_offset` on, one after the other."""
    for wanted, delivery in enumerate(part, next_offset):
        if delivery.offset != wanted:
            raise RecordsMissing(
                f"partition {delivery.partition} of log {delivery.log}: offset {delivery.offset} came, wanted {wanted}"
            )


def _span(part: Batch) -> str:
    return f"partition {part[0].partition} of log {part[0].log}, offsets {part[0].offset}..{part[-1].offset}"


def _place(delivery: Delivery) -> tuple[str, int, int]:
    return delivery.log, delivery.partition, delivery.offset
