"""Commits entries exactly once: in small pieces, each from the offset of the last; retries while the store is down,
stops when fenced."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from contract.readings import Entry, Point, ReadingSchema, Skipped, SkippedReason
from contract.records import Delivery
from worker.counters import Counters
from worker.leases import Leases, Place
from worker.reading.poison import Reject, Rejection
from worker.retry import Retry
from worker.store import Lease, Outcome, Store

ATTEMPTS = 5  # at one part of a batch, each under a fresh lease
PIECE_ENTRIES, PIECE_BYTES = 128, 64 * 1024  # of one commit: a store does nothing else meanwhile
ENTRY_BYTES = 64  # of a packed point, about
PARKED_WAIT_S = 60.0

SkipRefused = Callable[[Sequence[Entry], Sequence[Delivery]], tuple[list[Entry], list[Rejection]]]
"""Passes over what no store applies; no rejections: all entries are sound."""

_log = logging.getLogger(__name__)


class CommitRefused(Exception):
    """The store finds the batch itself wrong; repeating it cannot help."""


class LeaseLost(Exception):
    """Another worker takes the partition as often as we do."""


class Committer:
    """Commits one partition's part of a batch.

    Args:
        reject: is told of what cannot be read before the commit that passes over it.
    """

    def __init__(
        self,
        store: Store,
        schema: ReadingSchema,
        leases: Leases,
        retry: Retry,
        counters: Counters,
        mend: SkipRefused,
        reject: Reject | None,
    ) -> None:
        self._store = store
        self._schema = schema
        self._leases = leases
        self._retry = retry
        self._counters = counters
        self._mend = mend
        self._reject = reject

    def commit(
        self, place: Place, part: Sequence[Delivery], entries: Sequence[Entry], rejections: Sequence[Rejection]
    ) -> None:
        """Commit a part, one entry per delivery; where the partition has moved on under us, the rest of the part.

        Raises:
            CommitRefused, LeaseLost, RecordsMissing: the log cannot go back, or the partition would wait for later.
            Stopped: the store was away until the worker was asked to stop.
        """
        self._tell(rejections)
        for _ in range(ATTEMPTS):
            lease = self._leases.lease(place)
            if lease is None:
                return
            applied = lease.next_offset - part[0].offset
            part, entries = part[applied:], entries[applied:]
            if not part:
                return
            outcome = self._offer(place, entries)
            if outcome is Outcome.APPLIED:
                return
            if outcome is Outcome.REFUSED:
                entries, flawed = self._mend(entries, part)
                if not flawed:
                    refused = CommitRefused(f"{_span(part)}: the store refuses this batch; its log says why")
                    self._give_up(place, refused)
                    return
                self._tell(flawed)
            elif not self._leases.retake_after(place, outcome, part[0].offset, part[-1].offset + 1):
                return
        lost = LeaseLost(f"{_span(part)}: not committed in {ATTEMPTS} attempts; another worker holds the partition")
        self._give_up(place, lost)

    def _offer(self, place: Place, entries: Sequence[Entry]) -> Outcome:
        """Offer all entries, piece after piece; ends with the first one that is not applied."""
        for piece in pieces(entries):
            lease = self._leases.lease(place)
            if lease is None:
                raise AssertionError("a lease is dropped by nobody but this thread")
            outcome = self._offer_piece(place, lease, piece)
            if outcome is not Outcome.APPLIED:
                return outcome
        return Outcome.APPLIED

    def _offer_piece(self, place: Place, lease: Lease, piece: Sequence[Entry]) -> Outcome:
        counters = self._counters
        next_offset = lease.next_offset + len(piece)
        call = partial(
            self._store.commit,
            *place,
            epoch=lease.epoch,
            previous_offset=lease.next_offset,
            next_offset=next_offset,
            entries=piece,
            schema=self._schema,
        )
        with counters.timed("commit"):
            outcome = self._retry(call)
        counters.commits += 1
        counters.outcomes[outcome] = counters.outcomes.get(outcome, 0) + 1
        if outcome is Outcome.APPLIED:
            self._leases.advance(place, next_offset)
            _count(piece, counters)
        return outcome

    def _tell(self, rejections: Sequence[Rejection]) -> None:
        if rejections and self._reject is not None:
            self._retry(partial(self._reject, rejections))

    def _give_up(self, place: Place, error: CommitRefused | LeaseLost) -> None:
        """Let the partition wait while others go on, where its log can go back; else raise."""
        if not self._leases.is_assigned(place):
            raise error
        _log.error("%s; trying again in %g s", error, PARKED_WAIT_S)
        self._leases.put_off(place, PARKED_WAIT_S, str(error))


def pieces(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The entries in order, in pieces small enough for one commit."""
    begin, size = 0, 0
    for number, entry in enumerate(entries):
        picture = entry.picture if type(entry) is Point else None
        entry_size = ENTRY_BYTES if picture is None else ENTRY_BYTES + len(picture)
        if number > begin and (number - begin == PIECE_ENTRIES or size + entry_size > PIECE_BYTES):
            yield entries[begin:number]
            begin, size = number, 0
        size += entry_size
    if begin < len(entries):
        yield entries[begin:]


def _count(piece: Sequence[Entry], counters: Counters) -> None:
    counters.records += len(piece)
    for entry in piece:
        if type(entry) is Point:
            counters.points += 1
        elif type(entry) is Skipped:
            counters.shed += entry.reason is SkippedReason.SHED
            counters.rejected += entry.reason is SkippedReason.REJECTED


def _span(part: Sequence[Delivery]) -> str:
    return f"partition {part[0].partition} of log {part[0].log}, offsets {part[0].offset}..{part[-1].offset}"
