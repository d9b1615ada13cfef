"""What the store is told of each delivery: a point for a face, its record for all else, or that it was passed over."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from contract.readings import Entry, Passed, PassedReason, Point, ReadingSchema
from contract.records import Crop, Delivery, Face, Unreadable
from worker.counters import Counters
from worker.log import EXPIRED
from worker.reading.crops import Decoder, UnreadableCrop
from worker.reading.poison import Limits, Rejection, RejectLimit, passed_face, read_apart, rejection
from worker.reading.portrait import Portraits
from worker.reading.reader import Reading, Values
from worker.reading.shed import is_stale
from worker.store.check import BadBatch, checked

Watching = Callable[[], AbstractContextManager[None]]
Heard = tuple[Crop, Values] | str
"""A face's crop as it was shown and its reading, or why it has none."""

_log = logging.getLogger(__name__)


class Telling:
    """Makes entries of deliveries; all faces of a call are shown to the nets together.

    Args:
        watching: entered while the nets read.
        now_us: µs since the epoch, for what goes stale.
    """

    def __init__(
        self,
        reader: Reading,
        portraits: Portraits,
        counters: Counters,
        *,
        now_us: Callable[[], int],
        limits: Limits | None = None,
        decode_threads: int = 1,
        watching: Watching = nullcontext,
    ) -> None:
        self._reader = reader
        self._portraits = portraits
        self._counters = counters
        self._now_us = now_us
        self._limit = RejectLimit(limits or Limits())
        self._decode = Decoder(decode_threads)
        self._watching = watching

    def entries(self, deliveries: Sequence[Delivery]) -> tuple[list[Entry], list[Rejection]]:
        """One entry per delivery, in order, and what has to be told of those that cannot be read.

        Raises:
            TooManyRejected: more than an accident.
            MienError: of the engine.
        """
        heard = self._heard(deliveries)
        rejections: list[Rejection] = []
        with self._counters.timed("picture"):
            entries = [self._entry(delivery, heard.get(n), rejections) for n, delivery in enumerate(deliveries)]
        if rejections:
            first = rejections[0]
            _log.warning(
                "%d of %d cannot be read; the first, offset %d of partition %d, %s: %s",
                len(rejections), len(deliveries), first.offset, first.partition, first.key, first.reason,
            )  # fmt: skip
        return entries, rejections

    def without_flawed(
        self, entries: Sequence[Entry], deliveries: Sequence[Delivery]
    ) -> tuple[list[Entry], list[Rejection]]:
        """The entries of a refused commit, those that no store applies passed over; no rejections: all are sound."""
        told = list(entries)
        rejections: list[Rejection] = []
        for place, (entry, delivery) in enumerate(zip(entries, deliveries, strict=True)):
            flaw = _flaw(entry, self._reader.schema)
            if flaw is not None:
                self._note_rejected(rejection(delivery, flaw), rejections)
                told[place] = _passed_flawed(entry, self._reader.schema)
        return told, rejections

    def _heard(self, deliveries: Sequence[Delivery]) -> dict[int, Heard]:
        """What the nets say of the faces that are worth reading, by their number in the batch."""
        now_us = self._now_us()
        crop_of = {
            number: delivery.record.crop
            for number, delivery in enumerate(deliveries)
            if isinstance(delivery.record, Face) and not is_stale(delivery, now_us)
        }
        shown = self._shown(list(crop_of.values()))
        good = [crop for crop in shown if not isinstance(crop, UnreadableCrop)]
        with self._counters.timed("read"):
            readings = iter(read_apart(self._watched, good))
        self._counters.crops += len(good)
        return {number: _paired(crop, readings) for number, crop in zip(crop_of, shown, strict=True)}

    def _shown(self, crops: list[Crop]) -> Sequence[Crop | UnreadableCrop]:
        """The crops as the reader wants them, or what is wrong with them."""
        if self._reader.wants == "bytes":
            return crops
        with self._counters.timed("decode"):
            return self._decode(crops)

    def _watched(self, crops: Sequence[Crop]) -> Values:
        with self._watching():
            return self._reader(crops)

    def _entry(self, delivery: Delivery, heard: Heard | None, rejections: list[Rejection]) -> Entry:
        record = delivery.record
        if isinstance(record, Unreadable):
            if record.reason.startswith(EXPIRED):  # nothing to judge by, nothing to tell: it is gone
                self._counters.expired += 1
                return Passed(reason=PassedReason.REJECTED)
            self._note_rejected(rejection(delivery, record.reason), rejections)
            return Passed(reason=PassedReason.REJECTED)
        if not isinstance(record, Face):
            self._portraits.of(record)
            return record
        if heard is None:
            return passed_face(record, PassedReason.SHED)
        if isinstance(heard, str):
            self._note_rejected(rejection(delivery, heard), rejections)
            return passed_face(record, PassedReason.REJECTED)
        self._limit.note(rejected=False)
        crop, values = heard
        return Point(record, values, self._portraits.of(record, crop))

    def _note_rejected(self, one: Rejection, rejections: list[Rejection]) -> None:
        rejections.append(one)
        self._limit.note(rejected=True, reason=one.reason)


def _paired(crop: Crop | UnreadableCrop, readings: Iterator[Values | str]) -> Heard:
    if isinstance(crop, UnreadableCrop):
        return str(crop)
    reading = next(readings)
    return reading if isinstance(reading, str) else (crop, reading)


def _flaw(entry: Entry, schema: ReadingSchema) -> str | None:
    """Why no store applies the entry; None: it would."""
    try:
        checked([entry], schema, 0, 1)
    except BadBatch as flaw:
        return str(flaw).removeprefix("offsets 0..1: ")
    return None


def _passed_flawed(entry: Entry, schema: ReadingSchema) -> Passed:
    """What is told in the place of an entry that no store applies: as much of it as is sound."""
    bare = Passed(reason=PassedReason.REJECTED)
    named = replace(bare, source=entry.source, session=entry.session, sequence=entry.sequence)
    candidates = [named, bare]
    if isinstance(entry, Point) and isinstance(entry.face.event_time, int):
        candidates.insert(0, replace(named, gap=(entry.face.event_time, entry.face.event_time + 1)))
    return next((passed for passed in candidates if _flaw(passed, schema) is None), bare)
