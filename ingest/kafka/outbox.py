"""Messages on their way into the topic of faces: in order, bounded, held until the broker has them.

kafka-python 3.0.12 keeps one request per partition under way and repeats it for as long as the error may pass, so a
broker that is away costs time and no order. Three things are added here: a bound in bytes, which it has not; a
delivery timeout beyond any outage, since its own gives up after two minutes and lets later records pass; and a stop
with the first record that is given up all the same, after which a new producer sends everything unacknowledged again,
in order. That may double records, never turn them round; the store passes over what it has seen.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from contract.errors import LogUnavailable
from contract.labels import GapReason
from contract.records import Face, Gap
from contract.topics import FACES, MESSAGE_LIMIT, partition_of
from contract.wire import Message, message_of, record_of
from runtime import kafka as clients

BUDGET = 64 << 20  # bytes, of messages that are not acknowledged; kafka-python holds a second copy of each
RESERVE = 1 << 20  # bytes beyond it for what is no face and may not be left out
ANSWER_S = 5.0  # for a broker to answer when a producer is opened
REVIVE_EVERY_S = 1.0
SEND_MS = 50  # the most that handing a message to the producer may take
FOR_EVER_MS = 10 * 365 * 24 * 3_600_000  # ten years; infinity is not taken everywhere
OVERHEAD = 512  # bytes that Kafka and the headers add to key and value, at most

SETTINGS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 50,  # a request per face would cost client and broker more than the face; a worker waits 100 ms anyway
    "batch_size": 256 << 10,
    "max_request_size": MESSAGE_LIMIT,
    "max_block_ms": 2_000,  # how long the first look at a topic may hold `send` up
    "delivery_timeout_ms": FOR_EVER_MS,
    "reconnect_backoff_max_ms": 2_000,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}

_log = logging.getLogger(__name__)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class Producer(Protocol):
    """What is used of `kafka.KafkaProducer`."""

    def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int | None = None,
    ) -> Any:
        """A future of the acknowledgement."""

    def partitions_for(self, topic: str) -> set[int]:
        """The partitions of a topic."""

    def close(self, timeout: float | None = None) -> None:
        """Send what is left, and end."""


@dataclass(slots=True)
class _Held:
    partition: int
    message: Message
    size: int


class Outbox:
    """A queue into one topic that forgets a message when the broker has acknowledged it. Safe to share by threads.

    Raises:
        LogUnavailable: no broker answers, or the topic does not exist.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        topic: str = FACES,
        budget: int = BUDGET,
        new_producer: Callable[..., Producer] = KafkaProducer,
    ) -> None:
        self.bootstrap, self.topic, self.budget = bootstrap, topic, budget
        self.held_bytes = 0
        self._new_producer = new_producer
        self._held: dict[int, _Held] = {}  # by ticket, in the order of sending
        self._next_ticket = 0
        self._room = threading.Condition()  # its lock guards everything below and above
        self._given_up = False  # the producer gave a record up and sends nothing any more
        self._closing = threading.Event()
        self._producer = self._opened()
        self.partitions = self._count_partitions(self._producer)
        clients.block_at_most(self._producer, SEND_MS)

    def __len__(self) -> int:
        """How many messages are not acknowledged."""
        return len(self._held)

    @property
    def is_waiting(self) -> bool:
        """Whether the producer has given up and no broker takes records now."""
        return self._given_up

    def has_room(self, share: float = 1.0) -> bool:
        """Is less than this share of the budget taken? One message more may always go."""
        return self.held_bytes < self.budget * share

    def put(self, message: Message) -> None:
        """Send a message after all others of its source, whether there is room or not; never waits for a broker.

        At most `SEND_MS` pass where the client has lost sight of the topic; then the message waits here.
        """
        size = size_of(message)
        held = _Held(partition_of(message.key.decode(), self.partitions), message, size)
        with self._room:
            ticket = self._next_ticket
            self._next_ticket += 1
            self._held[ticket] = held
            self.held_bytes += size
            if not self._given_up:
                self._send(ticket, held)

    def wait_for_room(self, wait_s: float, reserve: int = 0) -> bool:
        """Whether there is room, now or within `wait_s`."""
        with self._room:
            return self._room.wait_for(lambda: self.held_bytes < self.budget + reserve, wait_s)

    def flush(self, timeout_s: float) -> int:
        """How many messages are still not acknowledged, at the latest after `timeout_s`."""
        with self._room:
            self._room.wait_for(lambda: not self._held, timeout_s)
            return len(self._held)

    def close(self, timeout_s: float) -> int:
        """End, after a flush; how many messages were not acknowledged."""
        left = self.flush(timeout_s)
        self._closing.set()
        _end(self._producer, at_once=left > 0)
        return left

    def _revive(self) -> None:
        """Open a producer in the place of one that has given up, and send everything again, in order.

        Runs on a thread of its own: to end a producer and to meet a broker takes up to 15 s.
        """
        _end(self._producer, at_once=True)  # without the lock, which its last callbacks want
        while not self._closing.is_set():
            try:
                producer = self._opened()
                self._count_partitions(producer)  # so that no `send` has to wait for it
            except LogUnavailable as error:
                _log.warning("%s; %d records wait", error, len(self._held))
                self._closing.wait(REVIVE_EVERY_S)
                continue
            clients.block_at_most(producer, SEND_MS)
            with self._room:
                self._producer, self._given_up = producer, False
                for ticket, held in list(self._held.items()):
                    if self._given_up:
                        return  # it has failed already, and another thread revives it
                    self._send(ticket, held)
            return

    def _send(self, ticket: int, held: _Held) -> None:
        """Hand a message to the producer; the caller holds the lock."""
        producer, message = self._producer, held.message
        try:
            future = producer.send(self.topic, message.value, message.key, message.headers, held.partition)
        except (KafkaError, ValueError) as error:  # ValueError: the topic has vanished from the metadata
            self._failed(ticket, producer, error)
            return
        future.add_callback(self._acknowledged, ticket)
        future.add_errback(lambda error: self._failed(ticket, producer, error))

    def _acknowledged(self, ticket: int, metadata: object) -> None:
        with self._room:
            held = self._held.pop(ticket, None)
            if held is not None:
                self.held_bytes -= held.size
                self._room.notify_all()

    def _failed(self, ticket: int, producer: Producer, error: Exception) -> None:
        """Stop with the first record that is given up, before a later one of its partition gets past it."""
        with self._room:
            held = self._held.get(ticket)
            if held is None or producer is not self._producer:
                return
            if isinstance(error, _TOO_LARGE):  # the topic takes less than MESSAGE_LIMIT
                self.held_bytes -= held.size
                held.message = rejected(held.message)
                held.size = size_of(held.message)
                self.held_bytes += held.size
            if not self._given_up:
                self._given_up = True
                _log.warning("%s: %s; %d records will be sent again", self.topic, error, len(self._held))
                clients.silence(producer)
                threading.Thread(target=self._revive, name="outbox-revive", daemon=True).start()

    def _opened(self) -> Producer:
        return clients.connected(self._new_producer, self.bootstrap, ANSWER_S, **SETTINGS)

    def _count_partitions(self, producer: Producer) -> int:
        try:
            return len(producer.partitions_for(self.topic))
        except KafkaError as error:
            _end(producer, at_once=True)
            raise LogUnavailable(
                f"the Kafka at {self.bootstrap} has no topic {self.topic} ({error}); wanted one made by `mien stack up`"
            ) from error


def size_of(message: Message) -> int:
    """Bytes of a message in Kafka, at most."""
    return len(message.value) + len(message.key) + OVERHEAD


def rejected(message: Message) -> Message:
    """What is sent in the place of a face that is too large: a gap of its moment, under its sequence."""
    face = record_of(message.key, message.value, message.headers).record
    if not isinstance(face, Face):
        raise TypeError(f"{face} is too large for Kafka, wanted a face")
    return message_of(gap_of(face, GapReason.REJECTED))


def gap_of(face: Face, reason: GapReason) -> Gap:
    """The moment of a face as a gap, under the same sequence."""
    return Gap(
        source=face.source,
        session=face.session,
        sequence=face.sequence,
        begin=face.event_time,
        end=face.event_time + 1,
        reason=reason,
    )


def _end(producer: Producer, *, at_once: bool) -> None:
    """Close a producer; at once where what it still holds is sent by another, or lost."""
    if at_once:
        clients.silence(producer)
        clients.await_silence(producer, ANSWER_S)
    try:
        producer.close(timeout=ANSWER_S)
    except KafkaError as error:
        _log.debug("closing a producer: %s", error)
