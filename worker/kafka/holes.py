"""Offsets without a record: removed by retention or compaction, markers of transactions, aborted records.

The worker gets a `Missing` in their place, so that every offset of a partition is accounted for.
"""

import logging
from collections.abc import Callable

from kafka.errors import KafkaError

from contract.errors import BadLog, RecordsExpired
from worker.kafka.buffers import Buffers, Missing
from worker.kafka.member import Member
from worker.kafka.partition import Partition
from worker.kafka.settings import KafkaSettings
from worker.log import EXPIRED, NO_RECORD

SETTLE_S = 1.0  # between two attempts to learn where a partition begins and ends

_log = logging.getLogger(__name__)


class Holes:
    """Puts a `Missing` in the place of offsets without a record, and counts the records that have expired."""

    def __init__(self, log: str, settings: KafkaSettings, buffers: Buffers, clock: Callable[[], float]) -> None:
        self.expired: dict[int, int] = {}  # records skipped, by partition
        self._log = log
        self._settings = settings
        self._buffers = buffers
        self._clock = clock
        self._expired_to: dict[int, int] = {}

    def fill(self, partition: Partition, end: int, *, is_compacted: bool) -> None:
        """Put a `Missing` in the place of the offsets from the partition's position up to `end`, and go on there.

        The broker left them out of what was fetched: markers of transactions, aborted records, or what compaction
        removed.
        """
        begin, partition.position = partition.position, end
        reason = f"{NO_RECORD}: the log holds none from {begin} to {end - 1}"
        if is_compacted:
            reason = f"{EXPIRED}: compaction has removed offsets {begin} to {end - 1}"
            self.expired[partition.number] = self.expired.get(partition.number, 0) + end - begin
        _log.warning("%s: %s", self._place(partition), reason)
        self._buffers.append(partition.number, (Missing(self._log, begin, end, reason),))

    def stray(self, partition: Partition, looks: int) -> None:
        """Note that the log does not hold the partition's position.

        `offset_after` finds out why, once the topic's identity has been looked at more often than `looks`.
        """
        partition.strayed, partition.settle_at, partition.settle_looks = True, self._clock(), looks

    def offset_after(self, partition: Partition, member: Member) -> int | None:
        """Where a strayed partition goes on, with what expired replaced by a `Missing`; None: not known yet.

        Raises:
            BadLog: the log ends before the position.
            RecordsExpired: retention has removed the record there, and `on_expired` is stop.
        """
        now = self._clock()
        if now < partition.settle_at or member.looks <= partition.settle_looks or member.topic_id is None:
            return None
        try:
            begin, end = member.bounds(partition.number)
        except (KafkaError, KeyError, AttributeError) as error:  # the last two: the client trips over a missing answer
            partition.settle_at = now + SETTLE_S
            _log.warning("%s: cannot learn where it begins: %r", self._place(partition), error)
            return None
        wanted = partition.position
        if wanted > end:
            raise BadLog(
                f"{self._place(partition)}: wanted offset {wanted}, but the log ends at {end}: it was cut, or replaced;"
                " an operator has to decide"
            )
        if wanted < begin:
            self._skip_expired(partition, begin)
        return max(wanted, begin)

    def _skip_expired(self, partition: Partition, begin: int) -> None:
        """Put a `Missing` in the place of what has expired, if that is allowed.

        Raises:
            RecordsExpired: it is not.
        """
        wanted = partition.position
        found = (
            f"{self._place(partition)}: wanted offset {wanted}, but the log begins at {begin}: {begin - wanted} records"
        )
        if self._settings.on_expired == "stop":
            raise RecordsExpired(f"{found} have expired unread; to go on without them: on_expired skip")
        counted = max(wanted, self._expired_to.get(partition.number, 0))  # a rewind meets the same ones again
        self._expired_to[partition.number] = max(counted, begin)
        self.expired[partition.number] = self.expired.get(partition.number, 0) + max(0, begin - counted)
        _log.warning("%s have expired unread and are passed over", found)
        reason = f"{EXPIRED}: retention has removed offsets up to {begin - 1}"
        self._buffers.append(partition.number, (Missing(self._log, wanted, begin, reason),))

    def _place(self, partition: Partition) -> str:
        return f"partition {partition.number} of {self._settings.topic}"
