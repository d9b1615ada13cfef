"""The servers themselves: what is written outlives a kill."""

from contextlib import closing

from mien.stack import Stack
from tests.servers import make_topic


def write(bootstrap: str, topic: str, value: bytes) -> None:
    from kafka import KafkaProducer

    with closing(KafkaProducer(bootstrap_servers=bootstrap.split(","))) as producer:
        producer.send(topic, value).get(timeout=20)


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
