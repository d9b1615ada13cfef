"""Our membership in the consumer group.

Rebalance and metadata listeners run on the client's own thread, which also sends the heartbeats: they only pause and
note. Everything else is called by the thread that polls.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, Self
from uuid import UUID

from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata

from contract.errors import LogUnavailable
from runtime import kafka as clients
from worker.kafka.settings import KafkaSettings

ANSWER_MS = 1000  # for a question to the broker; the thread that polls waits for it

CALM_S = 0.05

_ASSIGNORS = {"cooperative": CooperativeStickyAssignor, "range": RangePartitionAssignor}

_log = logging.getLogger(__name__)


class Message(Protocol):
    """What is used of a record as kafka-python gives it."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102
    @property
    def serialized_value_size(self) -> int: ...  # noqa: D102


class Member:
    """A consumer in the group, whatever it is assigned paused until `begin`.

    `topic_id` is the topic's identity as last seen, None while brokers do not know the topic; `gone_s` is for how long
    they have been saying so; `looks` counts their answers.
    """

    def __init__(self, consumer: Any, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.topic_id: UUID | None = None
        self.looks = 0
        self.partition_count = 0  # of the topic, as last seen
        self.gone_s = 0.0
        self._gone_at: float | None = None
        self._consumer = consumer
        self._topic = topic
        self._clock = clock
        self._seen = threading.Event()
        self._notes: deque[tuple[bool, tuple[int, ...]]] = deque()
        clients.on_metadata(consumer, self._on_metadata)
        consumer.subscribe([topic], listener=_Listener(self._on_assigned, self._on_revoked))

    @classmethod
    def join(cls, settings: KafkaSettings) -> Self:
        """A member that knows the topic; the group takes it in with the first polls.

        Raises:
            LogUnavailable: no broker answers within `connect_s`, it is too old, or it does not know the topic.
        """
        deadline = time.monotonic() + settings.connect_s
        consumer = clients.consumer(
            settings.bootstrap,
            settings.connect_s,
            partition_assignment_strategy=(_ASSIGNORS[settings.assignor],),
            **settings.consumer_options(),
        )
        member = cls(clients.with_shortest_poll(consumer, CALM_S), settings.topic)
        if not member._seen.wait(max(1.0, deadline - time.monotonic())):
            member.close(settings.close_s)
            raise LogUnavailable(
                f"Kafka at {settings.bootstrap} knows no topic {settings.topic} with an id within"
                f" {settings.connect_s:g} s; it is to be created first, by a broker of version 2.8 or later"
            )
        return member

    def poll(self, timeout_s: float) -> dict[int, list[Message]]:
        """What was fetched, by partition; raises whatever kafka-python raises."""
        clients.drop_emptied_records(self._consumer)
        fetched = self._consumer.poll(timeout_ms=int(1000 * timeout_s))
        return {place.partition: messages for place, messages in fetched.items()}

    def notes(self) -> Iterator[tuple[bool, tuple[int, ...]]]:
        """What the group did since the last call, in order: (True, partitions given) or (False, partitions taken)."""
        while self._notes:
            yield self._notes.popleft()

    def hold(self, partition: int) -> None:
        """Fetch nothing of the partition. It gets a position all the same: without one kafka-python asks for the
        committed offset, and raises if there is none."""
        self.pause(partition)
        with suppress(KeyError, ValueError):  # taken away this moment; the note of it comes
            self._consumer.seek(TopicPartition(self._topic, partition), 0)

    def begin(self, partition: int, offset: int) -> None:
        """Fetch the partition from this offset on."""
        with suppress(KeyError, ValueError):
            self._consumer.seek(TopicPartition(self._topic, partition), offset)
            self.resume(partition)

    def pause(self, partition: int) -> None:
        """Fetch no more of the partition for now."""
        with suppress(KeyError):
            self._consumer.pause(TopicPartition(self._topic, partition))

    def resume(self, partition: int) -> None:
        """Go on fetching where `pause` stopped."""
        with suppress(KeyError):
            self._consumer.resume(TopicPartition(self._topic, partition))

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset that the next record of each partition will get; raises KafkaError if no answer comes."""
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        return {place.partition: end for place, end in self._consumer.end_offsets(places, ANSWER_MS).items()}

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first offset that the partition still holds, and its end; raises KafkaError if no answer comes."""
        place = TopicPartition(self._topic, partition)
        begin: int = self._consumer.beginning_offsets([place], ANSWER_MS)[place]
        return begin, self.ends([partition])[partition]

    def next_offset(self, partition: int) -> int | None:
        """Where the client fetches next: what lies between the last record and this offset holds none."""
        return clients.next_offset(self._consumer, TopicPartition(self._topic, partition))

    def partitions(self) -> int:
        """How many partitions the topic has, as last seen."""
        return clients.partitions_seen(self._consumer, self._topic)

    def commit(self, offsets: Mapping[int, int], on_done: Callable[[object], None]) -> None:
        """Tell the group, for lag tools; `on_done` gets the answer or the exception, during a later poll."""
        told = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
        }
        self._consumer.commit_async(told, callback=lambda _, answer: on_done(answer))

    def look_again(self) -> None:
        """Ask for the topic's identity; `looks` rises when the answer is here."""
        clients.ask_metadata(self._consumer)

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that others take over at once; a broker that does not answer is not waited for."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=int(1000 * timeout_s))
        except Exception:  # noqa: BLE001 - we are going anyway; the session timeout does the rest
            _log.warning("could not leave the group in order", exc_info=True)

    def _on_metadata(self, cluster: Any) -> None:
        topic_id = clients.topic_id(self._consumer, self._topic)
        self.partition_count = clients.partitions_seen(self._consumer, self._topic)
        is_known = topic_id is not None and self.partition_count > 0
        self.topic_id = topic_id if is_known else None
        now = self._clock()
        self._gone_at = None if is_known else self._gone_at or now
        self.gone_s = 0.0 if self._gone_at is None else now - self._gone_at
        self.looks += 1
        if is_known:
            self._seen.set()

    def _on_assigned(self, partitions: tuple[int, ...]) -> None:
        for partition in partitions:
            self.hold(partition)
        self._notes.append((True, partitions))

    def _on_revoked(self, partitions: tuple[int, ...]) -> None:
        self._notes.append((False, partitions))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python tells no types
    """Hands partition numbers on; a partition that was lost is no more ours than one that was revoked."""

    def __init__(
        self, on_assigned: Callable[[tuple[int, ...]], None], on_revoked: Callable[[tuple[int, ...]], None]
    ) -> None:
        self._on_assigned, self._on_revoked = on_assigned, on_revoked

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Ours, paused."""
        self._on_assigned(tuple(sorted(place.partition for place in assigned)))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """No longer ours."""
        self._on_revoked(tuple(sorted(place.partition for place in revoked)))
