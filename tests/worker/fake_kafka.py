"""A consumer whose broker, group and faults are scripted: what kafka-python shows of itself, in one thread."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from contract.records import Progress
from contract.wire import Message, message_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from kafka import TopicPartition
    from kafka.errors import KafkaTimeoutError, OffsetOutOfRangeError

TOPIC = "faces"
TOPIC_ID = UUID("11111111-2222-3333-4444-555555555555")


@dataclass(frozen=True)
class Fetched:
    """A record as kafka-python gives it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    serialized_value_size: int


def a_progress(number: int, source: str = "cam") -> Progress:
    return Progress(
        source=source, session="s", sequence=number, event_time=number, frames=number, looked_at=number, closed=False
    )


def a_message(number: int) -> Message:
    return message_of(a_progress(number))


class FakeCluster:
    def __init__(self) -> None:
        self.id: UUID | None = TOPIC_ID
        self.listeners: list[Callable[[Any], None]] = []
        self.asked = 0

    def add_listener(self, listener: Callable[[Any], None]) -> None:
        self.listeners.append(listener)

    def topic_id(self, topic: str) -> UUID | None:
        return self.id

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1} if self.id else None

    def request_update(self) -> None:
        self.asked += 1

    def answer(self) -> None:
        """Metadata have come."""
        for listener in self.listeners:
            listener(self)


class _Assignment:
    """The positions as kafka-python holds them."""

    def __init__(self, consumer: "FakeConsumer") -> None:
        self._consumer = consumer

    def get(self, place: TopicPartition) -> Any:
        offset = self._consumer.positions.get(place.partition)
        return None if offset is None else SimpleNamespace(position=SimpleNamespace(offset=offset))


class FakeConsumer:
    """`on_poll` runs inside the next polls, one each, where the group's listeners would."""

    def __init__(self, ends: Mapping[int, int] | None = None, per_poll: int = 500) -> None:
        self._cluster = FakeCluster()
        self._fetcher = SimpleNamespace(_next_partition_records=None)
        self._subscription = SimpleNamespace(assignment=_Assignment(self))
        self.holes: set[tuple[int, int]] = set()  # offsets without a record
        self.begins: dict[int, int] = {}
        self.ends: dict[int, int] = dict(ends or {})
        self.messages: dict[tuple[int, int], Message] = {}  # others than a_message(offset)
        self.positions: dict[int, int] = {}
        self.paused_partitions: set[int] = set()
        self.withheld: set[int] = set()  # by a bug of the client
        self.on_poll: list[Callable[[], None]] = []
        self.errors: list[Exception] = []  # the next polls raise them
        self.is_down = False
        self.is_closed = False
        self.committed: list[dict[int, int]] = []
        self.commit_answer: object = None
        self.polls: list[int] = []  # their timeouts in ms
        self._per_poll = per_poll
        self._listener: Any = None

    def subscribe(self, topics: list[str], listener: Any) -> None:
        assert topics == [TOPIC]
        self._listener = listener

    def give(self, *partitions: int) -> None:
        """The group gives us partitions."""
        for partition in partitions:
            self.positions[partition] = -1  # unknown until somebody seeks
            self.paused_partitions.discard(partition)
        self._listener.on_partitions_assigned({TopicPartition(TOPIC, each) for each in partitions})

    def take(self, *partitions: int, lost: bool = False) -> None:
        """The group takes partitions away."""
        places = {TopicPartition(TOPIC, each) for each in partitions}
        (self._listener.on_partitions_lost if lost else self._listener.on_partitions_revoked)(places)
        for partition in partitions:
            del self.positions[partition]

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Fetched]]:
        self.polls.append(timeout_ms)
        if self.on_poll:
            self.on_poll.pop(0)()
        if self.errors:
            raise self.errors.pop(0)
        assert -1 not in self.positions.values(), "kafka-python would look for a committed offset, and raise"
        found = {TopicPartition(TOPIC, each): self._fetch(each) for each in list(self.positions)}
        return {place: messages for place, messages in found.items() if messages}

    def _fetch(self, partition: int) -> list[Fetched]:
        if partition in self.paused_partitions | self.withheld or self.is_down:
            return []
        position, end = self.positions[partition], self.ends.get(partition, 0)
        if not self.begins.get(partition, 0) <= position <= end:
            raise OffsetOutOfRangeError({TopicPartition(TOPIC, partition): position})
        upto = min(end, position + self._per_poll)
        self.positions[partition] = upto
        offsets = (offset for offset in range(position, upto) if (partition, offset) not in self.holes)
        return [self._fetched(partition, offset) for offset in offsets]

    def _fetched(self, partition: int, offset: int) -> Fetched:
        message = self.messages.get((partition, offset)) or a_message(offset)
        return Fetched(offset, message.key, message.value, message.headers, len(message.value))

    def pause(self, place: TopicPartition) -> None:
        self.positions[place.partition]
        self.paused_partitions.add(place.partition)

    def resume(self, place: TopicPartition) -> None:
        self.positions[place.partition]
        self.paused_partitions.discard(place.partition)

    def seek(self, place: TopicPartition, offset: int) -> None:
        if place.partition not in self.positions:
            raise ValueError("Unassigned partition")
        self.positions[place.partition] = offset

    def end_offsets(self, places: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return {place: self._known(self.ends, place) for place in places}

    def beginning_offsets(self, places: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return {place: self._known(self.begins, place) for place in places}

    def _known(self, offsets: dict[int, int], place: TopicPartition) -> int:
        if self.is_down:
            raise KafkaTimeoutError("no answer")
        return offsets.get(place.partition, 0)

    def commit_async(self, offsets: dict[TopicPartition, Any], callback: Callable[[object, object], None]) -> None:
        self.committed.append({place.partition: told.offset for place, told in offsets.items()})
        callback(offsets, self.commit_answer)

    def close(self, autocommit: bool, timeout_ms: int) -> None:
        assert autocommit is False
        self.is_closed = True
