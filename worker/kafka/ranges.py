"""Ranges of the topic of faces, read from one offset to another, outside of any consumer group."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from contract.errors import BadLog, LogUnavailable
from contract.records import Delivery
from contract.wire import WireTooNew, record_of
from runtime import kafka as clients
from worker.kafka.settings import KafkaSettings

POLL_MS, ANSWER_MS = 500, 10_000
QUIET_S = 60.0  # without a record that ought to be there


class KafkaLogRanges:
    """The topic of faces, read again range by range.

    Raises, from any method: LogUnavailable (come again later), BadLog.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        options = {**settings.consumer_options(), "group_id": None}
        self._topic = settings.topic
        self._bootstrap = settings.bootstrap
        self._consumer: Any = clients.consumer(settings.bootstrap, settings.connect_s, **options)
        try:
            self.partitions: Sequence[int] = sorted(self._consumer.partitions_for_topic(self._topic))
        except KafkaError as error:
            self.close()
            raise LogUnavailable(f"Kafka at {self._bootstrap} does not list its topics: {error!r}") from error
        topic_id = clients.topic_id(self._consumer, self._topic)
        if not self.partitions or topic_id is None:
            self.close()
            raise LogUnavailable(f"Kafka at {self._bootstrap} knows no topic {self._topic} with an id")
        self.log = str(topic_id)

    def _first(self, partition: int) -> int:
        """The earliest offset that is still there."""
        place = TopicPartition(self._topic, partition)
        try:
            begin: int = self._consumer.beginning_offsets([place], ANSWER_MS)[place]
        except (KafkaError, KeyError, AttributeError) as error:  # the last two: the client trips over a missing answer
            raise LogUnavailable(
                f"partition {partition} of {self._topic}: it gives no beginning ({error!r})"
            ) from error
        return begin

    def read(self, partition: int, begin: int, end: int) -> Iterator[list[Delivery]]:
        """Yield the deliveries of [begin, end) that the log holds, in order; what expires meanwhile is left out.

        Raises:
            LogUnavailable: the brokers do not answer.
        """
        place = TopicPartition(self._topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, max(begin, self._first(partition)))
        quiet_at = time.monotonic()
        while self._position(place) < end:
            try:
                messages = self._consumer.poll(timeout_ms=POLL_MS).get(place, ())
            except OffsetOutOfRangeError:
                self._consumer.seek(place, max(begin, self._first(partition)))
                continue
            except KafkaError as error:
                raise LogUnavailable(f"partition {partition} of {self._topic} cannot be read: {error!r}") from error
            if found := [self._delivery(partition, message) for message in messages if message.offset < end]:
                begin, quiet_at = found[-1].offset + 1, time.monotonic()
                yield found
            elif not messages and time.monotonic() - quiet_at > QUIET_S:
                raise LogUnavailable(f"partition {partition} of {self._topic} gives nothing from offset {begin} on")

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close(autocommit=False)

    def _position(self, place: TopicPartition) -> int:
        position: int | None = self._consumer.position(place, ANSWER_MS)
        return -1 if position is None else position

    def _delivery(self, partition: int, message: Any) -> Delivery:
        try:
            record = record_of(message.key, message.value, message.headers).record
        except WireTooNew as error:
            raise BadLog(f"offset {message.offset} of partition {partition}: {error}") from error
        return Delivery(self.log, partition, message.offset, record)
