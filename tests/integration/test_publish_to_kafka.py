"""What ingest publishes, read back from a real broker that is frozen, killed and started again meanwhile."""

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from contract.errors import LogUnavailable
from contract.keys import Keys
from contract.labels import GapReason
from contract.records import Face, Gap, Progress, Record
from contract.topics import MESSAGE_LIMIT, partition_of
from contract.wire import record_of
from ingest.pipeline import Stored
from mien.stack import Stack
from tests.ingest.clips import write_clip
from tests.servers import MakeTopic

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from kafka import KafkaConsumer, TopicPartition

    from ingest.kafka.backlog import KafkaBacklog
    from ingest.kafka.outbox import Outbox
    from ingest.kafka.publisher import KafkaPublisher
    from ingest.past import RedisPast

REPOSITORY = Path(__file__).resolve().parents[2]
NOISE = os.urandom(8000)

# kafka-python 3.0.12 leaves the sockets of refused connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def collected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What kafka-python left open goes with the test that made it; its log records would keep it."""
    caplog.set_level(logging.CRITICAL, "kafka")
    yield
    gc.collect()


def a_face(sequence: int, source: str = "file", size: int = 8000) -> Face:
    return Face(
        source=source,
        session="s",
        sequence=sequence,
        event_time=sequence * 40_000,
        frame=sequence,
        track=1,
        person=f"{source}.s.1",
        box_xywh=(1.0, 2.0, 30.0, 40.0),
        quality=0.5,
        sharpness=0.5,
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        score=0.9,
        crop=b"\xff\xd8" + sequence.to_bytes(8, "big") + (NOISE * (size // 8000 + 1))[: size - 12] + b"\xff\xd9",
    )


def everything_in(bootstrap: str, topic: str) -> list[tuple[int, bytes, Record]]:
    """(partition, value, record) of the whole topic, partition by partition, in order."""
    found = []
    with closing(KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="none")) as consumer:
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        for place, end in consumer.end_offsets(places).items():
            consumer.resume(place)
            consumer.pause(*(other for other in places if other != place))
            while consumer.position(place) < end:
                for message in consumer.poll(timeout_ms=1000).get(place, []):
                    record = record_of(message.key, message.value, message.headers).record
                    found.append((place.partition, message.value, record))
    return found  # type: ignore[return-value]


def publishing(publisher: KafkaPublisher, faces: list[Face], pace_s: float) -> threading.Thread:
    def work() -> None:
        for face in faces:
            publisher.publish(face)
            time.sleep(pace_s)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def test_every_source_keeps_its_order_on_its_partition(bootstrap: str, topic: MakeTopic) -> None:
    name = topic(partitions=4)
    publisher = KafkaPublisher(Outbox(bootstrap, topic=name))
    sources = [f"cam-{n}" for n in range(6)]

    threads = [publishing(publisher, [a_face(n, source) for n in range(100)], 0.0) for source in sources]
    for thread in threads:
        thread.join()
    publisher.close()

    found = everything_in(bootstrap, name)
    for source in sources:
        mine = [(partition, record) for partition, _, record in found if record.source == source]
        assert [record for _, record in mine] == [a_face(n, source) for n in range(100)]
        assert {partition for partition, _ in mine} == {partition_of(source, 4)}


def test_a_topic_that_is_not_there_is_said_in_one_line(bootstrap: str) -> None:
    with pytest.raises(LogUnavailable, match=f"Kafka at {bootstrap} has no topic mien.nowhere"):
        Outbox(bootstrap, topic="mien.nowhere")


def test_faces_too_large_become_gaps_whoever_finds_them_so(bootstrap: str, topic: MakeTopic) -> None:
    name = topic(config={"max.message.bytes": "50000"})  # less than our limit: the broker refuses
    publisher = KafkaPublisher(Outbox(bootstrap, topic=name))

    for face in (a_face(0), a_face(1, size=60_000), a_face(2), a_face(3, size=2 * MESSAGE_LIMIT), a_face(4)):
        publisher.publish(face)
        time.sleep(0.05)  # a batch of its own: the broker measures batches
    publisher.close()

    records = [record for _, _, record in everything_in(bootstrap, name)]
    seen = list(dict.fromkeys(records))
    assert [record.sequence for record in seen] == [0, 1, 2, 3, 4]
    assert [record.reason for record in seen if isinstance(record, Gap)] == [GapReason.REJECTED] * 2
    assert [record.sequence for record in seen if isinstance(record, Gap)] == [1, 3]


def test_a_frozen_broker_costs_a_camera_faces_and_a_file_time(stack: Stack, topic: MakeTopic) -> None:
    name, budget = topic(partitions=2), 400_000
    outbox = Outbox(stack.bootstrap, topic=name, budget=budget)
    publisher = KafkaPublisher(outbox, live=["cam"])
    for source in ("cam", "file"):
        publisher.publish(a_face(0, source))
    assert outbox.flush(20.0) == 0

    stack.processes["kafka-1"].stop()
    try:
        camera = publishing(publisher, [a_face(n, "cam") for n in range(1, 150)], 0.005)
        file = publishing(publisher, [a_face(n) for n in range(1, 150)], 0.0)
        camera.join()
        most = outbox.held_bytes
        file_waited = file.is_alive()
    finally:
        stack.processes["kafka-1"].cont()
    file.join()
    publisher.publish(a_face(150, "cam"))
    publisher.close()

    found = [record for _, _, record in everything_in(stack.bootstrap, name)]
    assert most <= budget + 2 * 9000  # one record of each thread may go over
    assert file_waited
    assert [record.sequence for record in found if record.source == "file"] == list(range(150))
    camera_said = [record for record in found if record.source == "cam"]
    told = [
        range(record.begin // 40_000, record.end // 40_000 + 1) if isinstance(record, Gap) else [record.sequence]
        for record in camera_said
    ]
    assert [number for numbers in told for number in numbers] == list(range(151))  # each once: seen, or in a gap
    assert (
        publisher.sent()["cam"].dropped
        == sum(len(list(n)) for n, r in zip(told, camera_said, strict=True) if isinstance(r, Gap))
        > 0
    )


def test_a_broker_killed_and_started_again_has_everything_in_order(stack: Stack, topic: MakeTopic) -> None:
    name = topic(partitions=2)
    outbox = Outbox(stack.bootstrap, topic=name, budget=1_000_000)
    publisher = KafkaPublisher(outbox)
    faces = {source: [a_face(n, source) for n in range(600)] for source in ("file", "other")}
    threads = [publishing(publisher, list(mine), 0.01) for mine in faces.values()]

    until(lambda: publisher.sent().get("file") is not None and publisher.sent()["file"].records > 100)
    stack.processes["kafka-1"].kill()
    time.sleep(1.0)
    stack.processes["kafka-1"].start()
    for thread in threads:
        thread.join()
    publisher.close(60.0)

    found = everything_in(stack.bootstrap, name)
    for source, mine in faces.items():
        values = [(record.sequence, value) for _, value, record in found if record.source == source]
        assert len(set(values)) == len({sequence for sequence, _ in values})  # doubles have identical bytes
        firsts = list(dict.fromkeys(sequence for sequence, _ in values))
        assert firsts == [face.sequence for face in mine]  # none is missing, and none came before its turn


def test_the_past_is_what_is_stored_and_what_waits(bootstrap: str, redis_url: str, topic: MakeTopic) -> None:
    name = topic(partitions=2)
    publisher = KafkaPublisher(Outbox(bootstrap, topic=name))
    interruption = Gap(source="file", session="s", sequence=5, begin=200_000, end=900_000, reason=GapReason.INTERRUPTED)
    progress = Progress(source="file", session="s", sequence=6, event_time=200_000, frames=5, looked_at=5, closed=False)
    for record in (*(a_face(n) for n in range(5)), a_face(9, "other"), interruption, progress):
        publisher.publish(record)
    publisher.close()
    keys = Keys(partition_of("file", 2))
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.hset(keys.session("file", "s"), mapping={"high_water": 3, "closed": 0})
        client.hset(keys.gaps("file", "s"), mapping={"1": "0 7 interrupted", "3": "8 9 decode_error"})
        client.hset(keys.position, mapping={"next_offset": 4})

    with closing(RedisPast(redis_url, partitions=2, backlog=KafkaBacklog(bootstrap, name, 2))) as past:
        assert past("file", "s") == Stored(6, (1, 5), closed=False)
        assert past("file", "new") == Stored()
    with closing(RedisPast(redis_url, partitions=2)) as stored_alone:
        assert stored_alone("file", "s") == Stored(3, (1,), closed=False)


def the_command(bootstrap: str, redis_url: str, topic: str, *sources: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ingest", *sources, "--bootstrap", bootstrap, "--redis", redis_url, "--topic", topic],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_publishes_a_file_once(bootstrap: str, redis_url: str, topic: MakeTopic, tmp_path: Path) -> None:
    name = topic(partitions=2)
    clip = write_clip(tmp_path / "clip.mp4", frames=20)

    for source, code, said in (
        (f"clip={clip}", 0, "clip: 2 records, 0 faces published"),
        (f"clip={clip}", 0, "clip: nothing new"),  # what waits in Kafka says that it was looked at to its end
        ("nowhere.mp4", 2, "mien: there is no file or folder nowhere.mp4"),
    ):
        with the_command(bootstrap, redis_url, name, source) as running:
            _, errors = running.communicate(timeout=60)
        assert running.returncode == code, errors
        assert errors.startswith(said)
        assert "Traceback" not in errors

    first, last = (record for _, _, record in everything_in(bootstrap, name))
    assert (first.sequence, last.sequence) == (0, 1)
    assert isinstance(last, Progress)
    assert last.closed


def test_a_file_that_was_interrupted_goes_on_behind_the_gap(
    bootstrap: str, redis_url: str, topic: MakeTopic, tmp_path: Path
) -> None:
    name = topic(partitions=1)
    clip = write_clip(tmp_path / "clip.mp4", frames=1500)
    with the_command(bootstrap, redis_url, name, str(clip)) as running:
        until(lambda: len(everything_in(bootstrap, name)) >= 3, within_s=60.0)
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    *stopped, gap = (record for _, _, record in everything_in(bootstrap, name))
    with the_command(bootstrap, redis_url, name, str(clip)) as running:
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors

    records = [record for _, _, record in everything_in(bootstrap, name)]
    assert isinstance(gap, Gap)
    assert gap.is_interruption
    assert gap.sequence == len(stopped)
    assert records[: len(stopped)] == stopped
    del records[len(stopped)]  # the interruption
    assert [record.sequence for record in records] == list(range(len(records)))  # nothing twice, nothing out of turn
    last = records[-1]
    assert isinstance(last, Progress)
    assert (last.closed, last.looked_at) == (True, 1500)
