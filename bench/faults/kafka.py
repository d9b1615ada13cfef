"""What the cases do to topics, past any relay."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions

from contract.topics import PARTITIONS, topics
from mien.stack.kafka import admin, create_topics

GONE_S = 20.0


def create_run_topics(bootstrap: str, faces_name: str, rejected_name: str, brokers: int) -> None:
    """A run's own topics of faces and of what is rejected."""
    faces, rejected, _ = topics(PARTITIONS)
    create_topics(bootstrap, [replace(faces, name=faces_name), replace(rejected, name=rejected_name)], brokers)


def delete_topic(bootstrap: str, topic: str) -> None:
    """Take the topic away with all it holds; returns when its name is free."""
    with contextlib.closing(admin(bootstrap)) as client:
        client.delete_topics([topic])
        end = time.monotonic() + GONE_S
        while topic in client.list_topics() and time.monotonic() < end:
            time.sleep(0.1)


def delete_records(bootstrap: str, topic: str, before: Mapping[int, int]) -> None:
    """Delete what lies before an offset, by partition."""
    with contextlib.closing(admin(bootstrap)) as client:
        client.delete_records({TopicPartition(topic, number): offset for number, offset in before.items()})


def read_all(bootstrap: str, topic: str) -> list[bytes]:
    """The values of a topic's only partition."""
    place = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap.split(","), enable_auto_commit=False)
    with contextlib.closing(consumer):
        consumer.assign([place])
        consumer.seek(place, 0)
        end, values = consumer.end_offsets([place])[place], []
        while consumer.position(place) < end:
            for records in consumer.poll(timeout_ms=500).values():
                values += [record.value for record in records]
    return values


def set_topic(bootstrap: str, topic: str, settings: Mapping[str, str]) -> None:
    """Change settings of a topic, as an operator does."""
    with contextlib.closing(admin(bootstrap)) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))])


def add_partitions(bootstrap: str, topic: str, count: int) -> None:
    """Give a topic more partitions."""
    with contextlib.closing(admin(bootstrap)) as client:
        client.create_partitions({topic: NewPartitions(count)})
