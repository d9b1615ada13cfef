"""The topic of faces as the worker reads it: a log that can go back, shared out by a consumer group.

The offset lives in the store; Kafka's group only says who reads what. A partition that the group gives us waits until
`rewind` says where to begin. What the group takes away is dropped here at once, and whoever has it next is not waited
for: the store refuses what comes twice.

Range assignment, where every rebalance takes all partitions away for about a second. Cooperative assignment moves
fewer (90 against 258 in a minute of 15 joins and leaves), but in kafka-python 3.0.12 two members that were evicted
together still named what they had owned when they came back, the leader waited for it to be revoked, and half the
topic belonged to nobody for ever: seen in two of four runs with a broker frozen while a member joined.

A position carries the leader epoch of the last record read, so that kafka-python finds a log that was cut under a
running worker. The store keeps no epoch: after a restart a cut log is found only while it is shorter than the stored
offset.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from contract.errors import LogReplaced
from contract.records import Delivery
from worker.kafka.buffers import Buffers
from worker.kafka.member import Member
from worker.kafka.poll import Poller
from worker.kafka.settings import KafkaSettings
from worker.kafka.terms import TopicTerms
from worker.log import Assigned, Revoked

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatus:
    """How reading the log goes; for health and metrics."""

    log: str
    assigned: tuple[int, ...]
    parked: Mapping[int, str]  # why, by partition: a newer Mien has to read them
    buffered_records: int
    buffered_bytes: int
    lag: Mapping[int, int]  # records not applied yet, by partition; up to `watch_s` old
    poll_age_s: float  # since the last poll came back; grows when the thread hangs
    recycles: int  # consumers replaced because they did not move, or gave up
    expired: Mapping[int, int]  # records passed over that retention took, by partition
    commit_failures: int  # of commits to the group; they are for lag tools alone
    flaws: tuple[str, ...]  # of the topic's settings: what the promise needs and does not have, one line each


class KafkaLog:
    """A topic, read by one thread and handed over to another; `worker.log.Log` on Kafka.

    `deliveries`, `rewind` and `applied` are for the worker's thread, the rest for any.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        join: Callable[[KafkaSettings], Member] = Member.join,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect, and join the group.

        Raises:
            LogUnavailable: no broker answers in time, or it does not know the topic.
        """
        self._settings = settings
        self._clock = clock
        self._buffers = Buffers(settings.run_records)
        self._terms = TopicTerms(settings)
        self._poller = Poller(settings, join(settings), self._buffers, join, clock, self._terms.seen)
        self._in_hand: Iterator[Delivery | Assigned | Revoked] = iter(())  # the run being handed over,
        self._at = -1  # of this partition
        self._rewound: set[int] = set()  # partitions whose deliveries in hand are out of date
        self._is_ending = False
        self._thread = threading.Thread(target=self._poller.run, name="kafka-poll", daemon=True)
        self._terms.start()
        self._thread.start()

    @property
    def log(self) -> str:
        """Identity of the topic: its id, a UUID."""
        return self._poller.log

    @property
    def partition_count(self) -> int:
        """Return the number of the topic's partitions, as last seen; 0 where it is unknown."""
        return self._poller.partition_count

    def deliveries(self, wait_s: float) -> Iterator[Delivery | Assigned | Revoked | None]:
        """Deliveries in order per partition, partitions taking turns; None whenever none came for `wait_s`.

        After `Revoked` nothing more comes of a partition until it is `Assigned` again. Ends after `stop`.

        Raises:
            RecordsExpired, BadLog, LogReplaced, LogUnavailable: one line says what an operator has to decide.
        """
        rewound = self._rewound
        yield from self._handed_over()  # what an earlier call of this had begun
        while not self._is_ending:
            run = self._buffers.next_run(wait_s)
            if run is None:
                yield None
                continue
            rewound.clear()
            self._at, self._in_hand = run.partition, iter(run.items)
            yield from self._handed_over()

    def _handed_over(self) -> Iterator[Delivery | Assigned | Revoked]:
        """What is left of the run in hand, until its partition is rewound."""
        for item in self._in_hand:
            if self._at in self._rewound:
                self._in_hand = iter(())
                return
            yield item

    def rewind(self, log: str, partition: int, offset: int) -> bool:
        """Hand the partition over from this offset on, and nothing of it before that; always True.

        Raises:
            LogReplaced: it is not a partition of this topic.
        """
        if log != self.log:
            raise LogReplaced(f"the topic {self._settings.topic} is log {self.log}, not {log}")
        self._rewound.add(partition)
        self._buffers.close(partition)
        self._poller.offsets.applied[partition] = offset
        self._poller.rewind(partition, offset)
        return True

    def applied(self, partition: int, offset: int) -> None:
        """Note that the store has everything before this offset; the group shows it now and then, to lag tools."""
        self._poller.offsets.applied[partition] = offset

    def status(self) -> LogStatus:
        """How it goes."""
        poller = self._poller
        partitions = list(poller.partitions.values())
        levels = self._buffers.levels().values()
        applied = poller.offsets.applied.copy()
        return LogStatus(
            log=self.log,
            assigned=tuple(sorted(each.number for each in partitions)),
            parked={each.number: each.parked for each in partitions if each.parked},
            buffered_records=sum(records for records, _ in levels),
            buffered_bytes=sum(size for _, size in levels),
            lag={
                each.number: max(each.end, each.position) - applied.get(each.number, each.position)
                for each in partitions
                if each.is_begun
            },
            poll_age_s=self._clock() - poller.polled_at,
            recycles=poller.recycles,
            expired=poller.holes.expired.copy(),
            commit_failures=poller.offsets.failures,
            flaws=tuple(poller.flaws),
        )

    def stop(self) -> None:
        """Let `deliveries` end soon; the group keeps us until `abandon`. May be called by a signal handler."""
        self._is_ending = True

    def abandon(self) -> None:
        """Leave the group, so that others take over at once; waits no longer than a broker that is down deserves."""
        self._is_ending = True
        self._terms.stop()
        self._poller.stop()
        self._thread.join(2 * self._settings.close_s + self._settings.poll_s + 2.0)
        if self._thread.is_alive():
            _log.warning("the thread that polls %s does not end; left behind", self._settings.topic)

    close = abandon
