"""The records of a source that lie in Kafka and are not stored yet."""

import time
from collections.abc import Iterator

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contract.errors import LogUnavailable
from contract.records import Record, Unreadable
from contract.topics import MESSAGE_LIMIT, partition_of
from contract.wire import WireTooNew, record_of
from runtime import kafka as clients

CONNECT_S = 5.0
ANSWER_S = 30.0  # without any record

SETTINGS = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "max_partition_fetch_bytes": 4 * MESSAGE_LIMIT,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


class KafkaBacklog:
    """Reads a topic from an offset to where it ends at that moment, as `ingest.past.Backlog`."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        """Read this topic, over so many partitions of which sources are spread."""
        self._bootstrap, self._topic, self._count = bootstrap, topic, partitions

    def __call__(self, source: str, offset: int) -> Iterator[Record]:
        """The readable records of a source from this offset of its partition on, without what others wrote there.

        Raises:
            LogUnavailable: Kafka does not answer, or stops to.
        """
        try:
            consumer = clients.consumer(self._bootstrap, CONNECT_S, **SETTINGS)
            try:
                yield from self._read(consumer, source, offset)
            finally:
                consumer.close()
        except (KafkaError, OSError) as error:
            raise LogUnavailable(f"Kafka at {self._bootstrap} does not show {self._topic}: {error}") from error

    def _read(self, consumer: KafkaConsumer, source: str, offset: int) -> Iterator[Record]:
        partitions = consumer.partitions_for_topic(self._topic)
        if not partitions:
            return
        place = TopicPartition(self._topic, partition_of(source, self._count))
        begin, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
        consumer.assign([place])
        consumer.seek(place, offset if begin <= offset <= end else begin)  # otherwise another topic, or expired
        heard_at = time.monotonic()
        while (at := consumer.position(place)) < end:
            messages = consumer.poll(timeout_ms=500).get(place, ())
            heard_at = time.monotonic() if messages else heard_at
            if time.monotonic() - heard_at > ANSWER_S:
                raise LogUnavailable(f"Kafka at {self._bootstrap} shows {self._topic} up to {at}, wanted {end}")
            for message in messages:
                if message.key == source.encode() and (record := _readable(message)) is not None:
                    yield record


def _readable(message: object) -> Record | None:
    try:
        record = record_of(message.key, message.value, message.headers).record  # type: ignore[attr-defined]
    except WireTooNew:
        return None
    return None if isinstance(record, Unreadable) else record
