"""The servers outlive a kill with their data; each test finds a topic of its own and an empty Redis."""

from contextlib import closing

import pytest

from contract.topics import topics
from mien.stack import Stack
from tests.servers import MakeTopic, make_topic


def write(bootstrap: str, topic: str, value: bytes) -> None:
    from kafka import KafkaProducer

    with closing(KafkaProducer(bootstrap_servers=bootstrap.split(","))) as producer:
        producer.send(topic, value, partition=0).get(timeout=20)


def read(bootstrap: str, topic: str) -> list[bytes]:
    from kafka import KafkaConsumer, TopicPartition

    place = TopicPartition(topic, 0)
    servers = bootstrap.split(",")
    with closing(KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)) as consumer:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        end = consumer.end_offsets([place])[place]
        values: list[bytes] = []
        while consumer.position(place) < end:
            values += [record.value for record in consumer.poll(timeout_ms=1000).get(place, [])]
        return values


def test_a_record_outlives_the_broker_and_a_key_outlives_redis(stack: Stack) -> None:
    from redis import Redis

    broker, redis = stack.processes["kafka-1"], stack.processes["redis"]
    name = make_topic(stack.bootstrap)
    write(stack.bootstrap, name, b"before")
    with closing(Redis.from_url(stack.redis_url)) as client:
        client.set("key", "value")

    before = {broker.pid, redis.pid}
    for server in (broker, redis):
        server.kill()
        assert not server.is_running()
        server.start()
    write(stack.bootstrap, name, b"after")

    assert before.isdisjoint({broker.pid, redis.pid})
    assert read(stack.bootstrap, name) == [b"before", b"after"]
    with closing(Redis.from_url(stack.redis_url)) as client:
        assert client.get("key") == b"value"


@pytest.mark.parametrize("value", [b"one", b"two"])
def test_each_test_has_its_own_topic_and_an_empty_redis(
    bootstrap: str, redis_url: str, topic: MakeTopic, value: bytes
) -> None:
    from redis import Redis

    name = topic(partitions=2, config={"retention.ms": "60000"})
    write(bootstrap, name, value)
    with closing(Redis.from_url(redis_url)) as client:
        assert client.dbsize() == 0
        client.set("key", value)

    assert read(bootstrap, name) == [value]


def test_a_redis_alone_is_emptied_for_each_test(fresh_redis: str) -> None:
    from redis import Redis

    with closing(Redis.from_url(fresh_redis)) as client:
        assert client.dbsize() == 0
        assert client.function_list() == []


def test_a_small_batch_cannot_hold_a_huge_record(bootstrap: str, topic: MakeTopic) -> None:
    from kafka import KafkaProducer
    from kafka.errors import MessageSizeTooLargeError

    name = topic(config=dict(topics()[0].config))
    options = {"compression_type": "gzip", "max_request_size": 1 << 28, "metrics_enabled": False}
    with closing(KafkaProducer(bootstrap_servers=bootstrap.split(","), **options)) as producer:
        producer.send(name, b"small", partition=0).get(timeout=20)
        with pytest.raises(MessageSizeTooLargeError):
            producer.send(name, bytes(64 << 20), partition=0).get(timeout=30)  # 64 KB of gzip

    assert read(bootstrap, name) == [b"small"]
