"""Makes store entries of deliveries: a point per face, the record itself otherwise, or `Skipped` with a reason."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from contract.readings import Entry, Point, ReadingSchema, Skipped, SkippedReason
from contract.records import Delivery, Face, Unreadable
from worker.counters import Counters
from worker.log import EXPIRED, NO_RECORD
from worker.reading.faces import FaceReading
from worker.reading.poison import Limits, Rejection, RejectLimit, rejection, skipped_face
from worker.reading.portrait import Portraits
from worker.store.check import BadBatch, checked

_log = logging.getLogger(__name__)


class EntryMaker:
    """Makes entries, and counts what cannot be read against the limits.

    Args:
        schema: of the readings.
    """

    def __init__(
        self, schema: ReadingSchema, portraits: Portraits, counters: Counters, limits: Limits | None = None
    ) -> None:
        self._schema = schema
        self._portraits = portraits
        self._counters = counters
        self._limit = RejectLimit(limits or Limits())

    def entries(
        self, deliveries: Sequence[Delivery], readings: Mapping[int, FaceReading]
    ) -> tuple[list[Entry], list[Rejection]]:
        """One entry per delivery, in order, and a rejection for each that cannot be read.

        Args:
            readings: of the faces that were read, by the number of their delivery.

        Raises:
            TooManyRejected: more than an accident explains.
        """
        rejections: list[Rejection] = []
        with self._counters.timed("picture"):
            entries = [self._entry(delivery, readings.get(n), rejections) for n, delivery in enumerate(deliveries)]
        if rejections:
            first = rejections[0]
            _log.warning(
                "%d of %d cannot be read; the first, offset %d of partition %d, %s: %s",
                len(rejections), len(deliveries), first.offset, first.partition, first.key, first.reason,
            )  # fmt: skip
        return entries, rejections

    def skip_refused(
        self, entries: Sequence[Entry], deliveries: Sequence[Delivery]
    ) -> tuple[list[Entry], list[Rejection]]:
        """Replace each entry that the store would refuse by a `Skipped`; no rejections: none was at fault."""
        mended = list(entries)
        rejections: list[Rejection] = []
        for place, (entry, delivery) in enumerate(zip(entries, deliveries, strict=True)):
            flaw = _flaw(entry, self._schema)
            if flaw is not None:
                self._note_rejected(rejection(delivery, flaw), rejections)
                mended[place] = _skipped(entry, self._schema)
        return mended, rejections

    def _entry(self, delivery: Delivery, reading: FaceReading | None, rejections: list[Rejection]) -> Entry:
        record = delivery.record
        if isinstance(record, Unreadable):
            if record.reason.startswith(EXPIRED):  # it is gone: nothing to reject
                self._counters.expired += 1
                return Skipped(reason=SkippedReason.REJECTED)
            if record.reason.startswith(NO_RECORD):
                return Skipped(reason=SkippedReason.NO_RECORD)
            self._note_rejected(rejection(delivery, record.reason), rejections)
            return Skipped(reason=SkippedReason.REJECTED)
        if not isinstance(record, Face):
            self._portraits.of(record)
            return record
        if reading is None:
            return skipped_face(record, SkippedReason.SHED)
        if isinstance(reading, str):
            self._note_rejected(rejection(delivery, reading), rejections)
            return skipped_face(record, SkippedReason.REJECTED)
        self._limit.note(rejected=False)
        crop, values = reading
        return Point(record, values, self._portraits.of(record, crop))

    def _note_rejected(self, one: Rejection, rejections: list[Rejection]) -> None:
        rejections.append(one)
        self._limit.note(rejected=True, reason=one.reason)


def _flaw(entry: Entry, schema: ReadingSchema) -> str | None:
    """Why no store applies the entry; None: it would."""
    try:
        checked([entry], schema, 0, 1)
    except BadBatch as flaw:
        return str(flaw).removeprefix("offsets 0..1: ")
    return None


def _skipped(entry: Entry, schema: ReadingSchema) -> Skipped:
    """Stands in the place of an entry that no store applies, with as much of it as is sound."""
    bare = Skipped(reason=SkippedReason.REJECTED)
    named = replace(bare, source=entry.source, session=entry.session, sequence=entry.sequence)
    candidates = [named, bare]
    if isinstance(entry, Point) and isinstance(entry.face.event_time, int):
        candidates.insert(0, replace(named, gap=(entry.face.event_time, entry.face.event_time + 1)))
    return next((skipped for skipped in candidates if _flaw(skipped, schema) is None), bare)
