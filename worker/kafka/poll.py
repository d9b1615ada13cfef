"""The thread that polls: it alone uses the consumer, fetches records and does what the worker wants of it."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    InconsistentGroupProtocolError,
    LogTruncationError,
    OffsetOutOfRangeError,
    RetriableError,
)

from contract.errors import BadLog, LogReplaced, LogUnavailable
from contract.records import Delivery
from contract.wire import WireTooNew, record_of
from worker.kafka.backpressure import apply_backpressure
from worker.kafka.buffers import Buffers, in_chunks
from worker.kafka.failures import BAD_SUMS, GIVE_UPS, Failures
from worker.kafka.group import GroupOffsets
from worker.kafka.holes import Holes
from worker.kafka.member import Member, Message
from worker.kafka.partition import Partition
from worker.kafka.progress import stuck_among
from worker.kafka.settings import KafkaSettings
from worker.kafka.terms import Terms, flaws
from worker.log import Assigned, Revoked

RETRY_S = 0.2  # after an error that may pass
RECONNECT_S = (0.5, 10.0)  # the first and the longest wait for a broker when a new consumer is made
GRIEVOUS = (AuthorizationError, InconsistentGroupProtocolError)  # no repetition helps, somebody has to act

_log = logging.getLogger(__name__)


class Poller:
    """Fetches into the buffers until it is stopped; what it counts may be read from any thread."""

    def __init__(
        self,
        settings: KafkaSettings,
        member: Member,
        buffers: Buffers,
        join: Callable[[KafkaSettings], Member] = Member.join,
        clock: Callable[[], float] = time.monotonic,
        terms_seen: Callable[[int], Terms | None] = lambda partitions: None,
    ) -> None:
        self.log = str(member.topic_id)
        self.partitions: dict[int, Partition] = {}
        self.offsets = GroupOffsets()
        self.holes = Holes(self.log, settings, buffers, clock)
        self.recycles = 0
        self.terms: Terms | None = None  # as last seen; None: nobody says
        self.flaws: list[str] = []  # of the terms, one line each
        self.polled_at = clock()
        self._settings = settings
        self._member = member
        self._buffers = buffers
        self._join = join
        self._clock = clock
        self._terms_seen = terms_seen
        self._partitions_at_start = member.partitions()
        self._terms_due = -math.inf
        self._stopping = threading.Event()
        self._rewinds: deque[tuple[int, int]] = deque()
        self._watched_at = self._committed_at = clock()
        self._failures = Failures(settings.topic, clock)

    @property
    def partition_count(self) -> int:
        """Return the number of the topic's partitions, as last seen; 0 where it is unknown."""
        return self._member.partition_count

    def rewind(self, partition: int, offset: int) -> None:
        """Fetch the partition from there on, soon; for any thread."""
        self._rewinds.append((partition, offset))

    def stop(self) -> None:
        """End `run` soon; for any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Poll until stopped, or until an error that has to end the worker (`Buffers.fail`); leave the group."""
        try:
            while not self._stopping.is_set():
                self.round()
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - whatever ends this thread must end the worker too
            self._buffers.fail(error)
        finally:
            self.offsets.commit(self._member, self.partitions)
            self._member.close(self._settings.close_s)

    def round(self) -> None:
        """Poll once, with all that belongs to it."""
        self._check_topic()
        self._apply_rewinds()
        for partition in self._all():
            if partition.strayed and (offset := self.holes.offset_after(partition, self._member)) is not None:
                self._begin(partition, offset)
        apply_backpressure(self.partitions, self._buffers.levels(), self._member, self._settings)
        fetched = self._polled()
        self.polled_at = self._clock()
        self._apply_assignments()
        for number, messages in fetched.items():
            self._take_in(number, messages)
        self._fill_ends()
        if self.polled_at >= self._terms_due:
            self._check_terms()
        if self.polled_at - self._watched_at >= self._settings.watch_s:
            self._watched_at = self.polled_at
            self._watch()
        if self.polled_at - self._committed_at >= self._settings.commit_s:
            self._committed_at = self.polled_at
            self.offsets.commit(self._member, self.partitions)

    def _all(self) -> list[Partition]:
        return list(self.partitions.values())

    def _place(self, partition: Partition) -> str:
        return f"partition {partition.number} of {self._settings.topic}"

    def _check_topic(self) -> None:
        """Raise if the topic is another one than at the start, or no longer there."""
        topic_id = self._member.topic_id
        if topic_id is not None and str(topic_id) != self.log:
            raise LogReplaced(
                f"topic {self._settings.topic} was made anew: it was log {self.log}, now it is {topic_id}"
            )
        if self._member.gone_s > self._settings.gone_s:
            raise LogUnavailable(f"topic {self._settings.topic}, log {self.log}, has been deleted")

    def _check_terms(self) -> None:
        """Look at what the promise needs of the topic; what is wrong is logged once, and held for health."""
        self._terms_due = self.polled_at + min(1.0, self._settings.terms_s)
        self.terms = self._terms_seen(self._member.partitions() or self._partitions_at_start)
        if self.terms is None:
            return
        found = flaws(self.terms, self._settings.topic, self._partitions_at_start)
        for line in found:
            if line not in self.flaws:
                _log.error("%s", line)
        self.flaws = found

    def _apply_rewinds(self) -> None:
        while self._rewinds:
            number, offset = self._rewinds.popleft()
            partition = self.partitions.get(number)
            if partition is None:
                continue  # taken away meanwhile; the worker gets a `Revoked`
            self._begin(partition, offset)
            self._buffers.reopen(number)

    def _begin(self, partition: Partition, offset: int) -> None:
        partition.is_begun, partition.position = True, offset
        partition.parked, partition.strayed, partition.is_full, partition.behind_at = "", False, False, -1
        self._member.begin(partition.number, offset)

    def _apply_assignments(self) -> None:
        """Pass on to the worker what the group gave and took; what was given waits for `rewind`."""
        for is_given, numbers in self._member.notes():
            for number in numbers:
                if is_given:
                    self._member.hold(number)  # a rewind meant for an earlier assignment may have released it
                    self.partitions[number] = Partition(number)
                    self._buffers.assign(Assigned(self.log, number))
                elif self.partitions.pop(number, None) is not None:
                    self.offsets.applied.pop(number, None)
                    self._buffers.revoke(Revoked(self.log, number))
            if is_given and numbers:
                self._member.look_again()

    def _polled(self) -> Mapping[int, Sequence[Message]]:
        """The messages that the consumer has, by partition; none after an error, which is dealt with here."""
        waits = any(partition.is_full for partition in self._all())
        try:
            fetched = self._member.poll(self._settings.full_poll_s if waits else self._settings.poll_s)
        except OffsetOutOfRangeError as error:
            self._stray(place.partition for place in error.args[0])
        except LogTruncationError as error:
            raise BadLog(
                f"{self._settings.topic}: the log was cut below what we have read ({error.divergent_offsets}); a leader"
                " without all records was elected, an operator has to decide"
            ) from error
        except GRIEVOUS as error:
            raise LogUnavailable(f"Kafka refuses us: {type(error).__name__}: {error}") from error
        except CorruptRecordError as error:
            self._failures.count(error, BAD_SUMS)
            self._recycle(str(error))  # the client would turn in circles over such a batch
        except RetriableError as error:
            _log.warning("polling %s: %s: %s", self._settings.topic, type(error).__name__, error)
            self._stopping.wait(RETRY_S)
        except Exception as error:  # noqa: BLE001 - a consumer in an unknown state is replaced, whatever has befallen it
            _log.warning("the consumer of %s gave up", self._settings.topic, exc_info=True)
            self._failures.count(error, GIVE_UPS)
            self._recycle(f"{type(error).__name__}: {error}")
        else:
            return fetched
        return {}

    def _take_in(self, number: int, messages: Sequence[Message]) -> None:
        """Decode and buffer what was fetched, up to a record that only a newer Mien reads."""
        partition = self.partitions.get(number)
        if partition is None or not partition.is_begun or partition.parked:
            return
        deliveries: list[Delivery] = []
        sizes: list[int] = []
        log = self.log
        for message in messages:
            try:
                read = record_of(message.key, message.value, message.headers)
            except WireTooNew as error:
                self._park(partition, message.offset, str(error))
                break
            if message.offset > partition.position + len(deliveries):
                self._buffer(partition, deliveries, sizes)
                self._fill(partition, message.offset)
                deliveries, sizes = [], []
            deliveries.append(Delivery(log, number, message.offset, read.record, read.stale_at))
            sizes.append(message.serialized_value_size)
        self._buffer(partition, deliveries, sizes)

    def _buffer(self, partition: Partition, deliveries: Sequence[Delivery], sizes: Sequence[int]) -> None:
        if deliveries:
            partition.position = deliveries[-1].offset + 1
            self._buffers.append(partition.number, tuple(in_chunks(deliveries, sizes, self._settings.run_records)))

    def _fill(self, partition: Partition, end: int) -> None:
        is_compacted = self.terms is not None and "compact" in self.terms.cleanup_policy
        self.holes.fill(partition, end, is_compacted=is_compacted)

    def _fill_ends(self) -> None:
        """Go behind offsets without a record at the end of a log, where no record follows that would show them."""
        for partition in self._all():
            if partition.flows and (offset := self._member.next_offset(partition.number) or 0) > partition.position:
                self._fill(partition, offset)

    def _park(self, partition: Partition, offset: int, reason: str) -> None:
        """Leave the partition at this record until another worker takes it; nothing of it is lost."""
        self._member.hold(partition.number)
        partition.parked = f"offset {offset}: {reason}"
        self._alarm(partition)

    def _alarm(self, partition: Partition) -> None:
        partition.alarmed_at = self._clock()
        _log.error("%s is parked at %s; a newer Mien has to read it", self._place(partition), partition.parked)

    def _stray(self, numbers: Iterable[int]) -> None:
        """Pause partitions whose position the log does not hold, until the topic's identity has been looked at."""
        for number in numbers:
            if partition := self.partitions.get(number):
                self._member.pause(number)
                self.holes.stray(partition, self._member.looks)
        self._member.look_again()

    def _watch(self) -> None:
        """Look for partitions that are behind and do not move, and remind of parked ones."""
        now = self._clock()
        for partition in self._all():
            if partition.parked and now - partition.alarmed_at >= self._settings.alarm_s:
                self._alarm(partition)
        if stuck := stuck_among(self._all(), self._member, now, self._settings.progress_s):
            names = ", ".join(f"{partition.number} at {partition.position} of {partition.end}" for partition in stuck)
            self._recycle(f"behind and not moving for {self._settings.progress_s:g} s: partition {names}")

    def _recycle(self, reason: str) -> None:
        """Leave the group and come again with a new consumer; all partitions are taken anew.

        Raises:
            LogReplaced: the topic has been made anew meanwhile.
        """
        self.recycles += 1
        _log.warning("a new consumer of %s: %s", self._settings.topic, reason)
        self._member.close(self._settings.close_s)
        for number in list(self.partitions):
            del self.partitions[number]
            self._buffers.revoke(Revoked(self.log, number))
        self.offsets.applied.clear()
        wait_s, longest_s = RECONNECT_S
        while not self._stopping.wait(wait_s):
            try:
                self._member = self._join(self._settings)
            except LogUnavailable as error:
                _log.warning("%s; trying again", error)
                wait_s = min(2 * wait_s, longest_s)
                continue
            return self._check_topic()
        raise Stopped


class Stopped(Exception):
    """Stopped while no broker answered; internal."""
