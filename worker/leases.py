"""Which partitions we hold, and from which offset on."""

import logging
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contract.records import Delivery
from worker.counters import Counters
from worker.log import Assigned, Revoked
from worker.store import Lease, Outcome

Place = tuple[str, int]
"""(log, partition)"""

FENCED_WAIT_S = 1.0
HOLE_WAIT_S = 30.0  # a log that was asked to go back may need a while
SUSPICIOUS_TAKES = 2  # of a partition that does not move: a record may be killing its workers
CAREFUL_RECORDS = 256  # more than were in hand when they died
NOT_OURS = sys.maxsize  # every offset is below it

_log = logging.getLogger(__name__)


class RecordsMissing(Exception):
    """The log skips records that the store has not seen, and cannot go back; going on would lose them for good."""


@dataclass(slots=True)
class Held:
    """One partition. Without a lease its deliveries are dropped: they come again when it is taken again."""

    assigned: bool  # a group shares the partitions out: this log can go back
    lease: Lease | None = None
    revoked: bool = False
    missing_from: int | None = None  # the offset the log was asked to go back to
    due: float = math.inf  # monotonic s: take again, or ask the log again
    trouble: str = ""
    careful_until: int = 0  # up to here records are read one by one


class Leases:
    """The leases of a worker, and what of a batch may be committed under them.

    Args:
        take: of the store.
        applied: hears up to which offset a partition is stored.

    `rewind` is the log's, set before anything comes of it.
    """

    def __init__(
        self,
        take: Callable[[str, int], Lease],
        counters: Counters,
        *,
        applied: Callable[[int, int], None] = lambda partition, offset: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.rewind: Callable[[str, int, int], bool] = lambda log, partition, offset: False
        self._take = take
        self._counters = counters
        self._applied = applied
        self._clock = clock
        self._jitter = jitter
        self._holdings: dict[Place, Held] = {}

    def assign(self, event: Assigned) -> None:
        """Take a partition that the group gives us, and have the log begin where the store is."""
        place = (event.log, event.partition)
        self._holdings[place] = Held(assigned=True)
        self._retake(place)

    def revoke(self, event: Revoked) -> None:
        """Take it no more; what is in hand may still be committed, if nobody was quicker."""
        holding = self._holdings.setdefault((event.log, event.partition), Held(assigned=True))
        holding.revoked, holding.due, holding.trouble = True, math.inf, ""

    def lease(self, place: Place) -> Lease | None:
        """Our lease; None: not ours, or not for now."""
        return self._holdings[place].lease

    def troubles(self) -> list[str]:
        """Return what is wrong with which partition, as lines for people; may be called from any thread."""
        return [f"partition {place[1]}: {holding.trouble}" for place, holding in self._known() if holding.trouble]

    def held(self) -> list[int]:
        """Return the numbers of the partitions held; may be called from any thread."""
        return sorted(place[1] for place, holding in self._known() if holding.lease and not holding.revoked)

    def accepted(self, batch: Sequence[Delivery]) -> dict[Place, list[Delivery]]:
        """What of a batch comes next in each partition, without holes.

        Raises:
            RecordsMissing: a log that cannot go back leaves records out.
        """
        parts: dict[Place, list[Delivery]] = {}
        wanted: dict[Place, int] = {}
        for delivery in batch:
            place = (delivery.log, delivery.partition)
            if place not in wanted:
                wanted[place] = self._next_offset(place)
            if delivery.offset > wanted[place]:
                behind = self._after_gap(place, delivery, wanted[place])
                if behind != wanted[place]:
                    parts.pop(place, None)  # the store has moved on: what is in hand is applied already
                wanted[place] = behind
            if delivery.offset == wanted[place]:
                parts.setdefault(place, []).append(delivery)
                wanted[place] += 1
            else:
                self._counters.repeats += 1
        return parts

    def advance(self, place: Place, next_offset: int) -> None:
        """The store has everything before this offset, by us or, before our lease, by anybody."""
        holding = self._holdings[place]
        if holding.lease is not None:
            holding.lease = Lease(holding.lease.epoch, next_offset)
        if holding.missing_from is not None and next_offset > holding.missing_from:
            holding.missing_from, holding.due, holding.trouble = None, math.inf, ""
        self._applied(place[1], next_offset)

    def retake_after(self, place: Place, outcome: Outcome, begin: int, end: int) -> bool:
        """Take the partition again after a commit of the offsets [begin, end) was not applied; whether to retry these.

        False: they are dropped and come again, at once or after a while, or are another worker's.

        Raises:
            RecordsMissing: the store is behind them, and the log cannot go back.
        """
        holding = self._holdings[place]
        _log.warning("%s, offsets %d..%d: %s", _name(place), begin, end - 1, outcome)
        if outcome is Outcome.FENCED and holding.assigned:
            self.put_off(place, FENCED_WAIT_S * (1 + self._jitter()), "another worker has taken it")
            return False
        if holding.revoked:
            holding.lease = None
            return False
        self._counters.retaken += 1
        next_offset = self._leased(place, holding)
        if begin <= next_offset <= end:
            return True
        if self.rewind(*place, next_offset):
            return False
        if next_offset < begin:
            raise RecordsMissing(f"{_name(place)}: offset {begin} came, wanted {next_offset}")
        return True

    def put_off(self, place: Place, wait_s: float, trouble: str) -> None:
        """Drop the lease, and take the partition again after a while if it is still ours then."""
        holding = self._holdings[place]
        holding.lease = None
        if not holding.revoked:
            holding.due, holding.trouble = self._clock() + wait_s, trouble

    def is_careful(self, place: Place, offset: int) -> bool:
        """Whether the record at this offset is to be read alone, as workers may have died of it."""
        return offset < self._holdings[place].careful_until

    def is_assigned(self, place: Place) -> bool:
        """Whether a group gave us the partition, so that its log can go back."""
        return self._holdings[place].assigned

    def tend(self) -> None:
        """Take again what was put off, ask the log again where it did not go back."""
        now = self._clock()
        for place, holding in list(self._holdings.items()):
            if holding.due > now:
                continue
            if holding.lease is None:
                self._counters.retaken += 1
                self._retake(place)
            else:
                _log.error("%s: %s for %g s, asking the log again", _name(place), holding.trouble, HOLE_WAIT_S)
                holding.due = now + HOLE_WAIT_S
                self.rewind(*place, holding.lease.next_offset)

    def _retake(self, place: Place) -> None:
        holding = self._holdings[place]
        next_offset = self._leased(place, holding)
        holding.missing_from, holding.due, holding.trouble = None, math.inf, ""
        self.rewind(*place, next_offset)

    def _leased(self, place: Place, holding: Held) -> int:
        holding.lease = lease = self._take(*place)
        if lease.takes >= SUSPICIOUS_TAKES:
            holding.careful_until = lease.next_offset + CAREFUL_RECORDS
            _log.warning(
                "%s: taken %d times at offset %d, reading one by one", _name(place), lease.takes, lease.next_offset
            )
        self.advance(place, holding.lease.next_offset)
        return holding.lease.next_offset

    def _next_offset(self, place: Place) -> int:
        """The offset to accept next; a partition that no group gave us is taken when it is first met."""
        holding = self._holdings.get(place)
        if holding is None:
            holding = self._holdings[place] = Held(assigned=False)
            return self._leased(place, holding)
        return NOT_OURS if holding.lease is None else holding.lease.next_offset

    def _after_gap(self, place: Place, delivery: Delivery, wanted: int) -> int:
        """Return the offset to accept next after a delivery that came too early; rewinds the log once."""
        holding = self._holdings[place]
        if holding.missing_from == wanted or holding.revoked:
            return wanted
        self._counters.holes += 1
        came = f"offset {delivery.offset} came, wanted {wanted}"
        _log.warning("%s: %s", _name(place), came)
        if self.rewind(*place, wanted):
            holding.missing_from, holding.due = wanted, self._clock() + HOLE_WAIT_S
            holding.trouble = f"waiting for offset {wanted}"
            return wanted
        self._counters.retaken += 1
        next_offset = self._leased(place, holding)  # another worker may have been here since
        if next_offset < delivery.offset:
            raise RecordsMissing(f"{_name(place)}: {came}")
        return next_offset

    def _known(self) -> list[tuple[Place, Held]]:
        return sorted(self._holdings.copy().items(), key=lambda item: item[0])


def _name(place: Place) -> str:
    return f"partition {place[1]} of log {place[0]}"
