"""`python -m worker` over a real Kafka and a real Redis, with a net that is shipped."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2

from contract.readings import SkippedReason
from contract.records import Record
from contract.topics import partition_of
from contract.wire import Message, message_of
from query.store.choose import reader_of
from tests.servers import MakeTopic
from tests.worker.examples import a_crop, a_face, a_progress, an_opening
from worker.store.redis import RedisStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from kafka import KafkaProducer

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
CROP = cv2.imencode(".jpg", a_crop(1, 112))[1].tobytes()
SOURCES = ("cam-1", "cam-2", "cam-3")


def a_story(source: str, begin: int, end: int) -> list[Record]:
    return [a_face(n, f"{source}/1", source, crop=CROP) if n % 20 else a_progress(n, source) for n in range(begin, end)]


def publish(bootstrap: str, topic: str, messages: list[tuple[str, Message]]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for source, message in messages:
        producer.send(topic, message.value, message.key, headers=message.headers, partition=partition_of(source, 2))
    producer.flush()
    producer.close()


def told(records: list[Record]) -> list[tuple[str, Message]]:
    return [(record.source, message_of(record)) for record in records]


@contextmanager
def a_worker(bootstrap: str, redis_url: str, topic: str, log: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process, its output in a file; killed in the end if it has not ended."""
    options = ["--topic", topic, "--group", topic, "--session-s", "6", "--health-port", "0", "--engine", "onnx", *more]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", *options],
            cwd=ROOT,
            env={**os.environ, "MIEN_KAFKA_BOOTSTRAP": bootstrap, "MIEN_REDIS_URL": redis_url},
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_marks(redis_url: str, wanted: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with closing(RedisStore(redis_url, partitions=2)) as store:
        while {store.high_water(source, "s1") for source in SOURCES} != {wanted}:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def test_a_killed_worker_is_followed_by_one_that_stores_the_rest_once_and_drains(
    bootstrap: str, redis_url: str, topic: MakeTopic, tmp_path: Path
) -> None:
    name, log = topic(partitions=2), tmp_path / "log"
    publish(
        bootstrap,
        name,
        told([record for source in SOURCES for record in (an_opening(source), *a_story(source, 1, 60))]),
    )
    with a_worker(bootstrap, redis_url, name, log) as process:
        wait_for_marks(redis_url, 59, process, log)
        publish(bootstrap, name, told([record for source in SOURCES for record in a_story(source, 60, 100)]))
    spoilt = Message(key=b"cam-1", value=b"no record", headers=[])
    rest = told([record for source in SOURCES for record in a_story(source, 80, 140)])  # some of it again
    publish(bootstrap, name, [*rest[:10], ("cam-1", spoilt), *rest[10:]])

    with a_worker(bootstrap, redis_url, name, log) as process:
        wait_for_marks(redis_url, 139, process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()

    from redis import Redis

    with closing(Redis.from_url(redis_url)) as client, closing(RedisStore(redis_url)) as store:
        counted = {source: int(client.hget(person_key(source), "points") or 0) for source in SOURCES}
        identity = client.hget("mien:{0}:position", "log").decode()
        passed = sum(store.skipped(identity, n).get(SkippedReason.REJECTED, 0) for n in range(2))
    assert counted == dict.fromkeys(SOURCES, 139 - 6)  # six of them are progress
    assert passed == 1


def test_a_stored_stretch_is_read_again_by_another_net_while_the_topic_holds_it(
    bootstrap: str, redis_url: str, topic: MakeTopic, tmp_path: Path
) -> None:
    name, log = topic(partitions=2), tmp_path / "log"
    publish(bootstrap, name, told([r for source in SOURCES for r in (an_opening(source), *a_story(source, 1, 100))]))
    with a_worker(bootstrap, redis_url, name, log) as process:
        wait_for_marks(redis_url, 99, process, log)
        for _ in range(2):  # the second time there is nothing to do
            with a_worker(bootstrap, redis_url, name, log, "--rescore", "--nets", "expressions") as again:
                assert again.wait(PATIENCE_S) == 0, log.read_text()
        publish(bootstrap, name, told([record for source in SOURCES for record in a_story(source, 100, 120)]))
        wait_for_marks(redis_url, 119, process, log)  # the worker was left alone

    words = log.read_text()
    assert "285 faces in 300 records read again, 2 partitions to their end" in words  # 99 less 4 of progress, each
    assert "0 faces in 0 records read again, 2 partitions to their end" in words
    with closing(reader_of(redis_url)) as reader, reader.snapshot() as snapshot:
        for source in SOURCES:
            schemas = snapshot.schemas(f"{source}/1", 0, 10**9)
            frames = {
                schemas[schema].nets[0].name: sorted(points.frame.tolist())
                for _, schema, points in snapshot.points(f"{source}/1", 0, 10**9)
            }
            assert frames == {
                "expressions": [n for n in range(1, 100) if n % 20],
                "expressions.int8": [n for n in range(100, 120) if n % 20],
            }


def person_key(source: str) -> str:
    """The key of the source's person, on whichever partition it lies."""
    return f"mien:{{{partition_of(source, 2)}}}:person:{source}/1"
