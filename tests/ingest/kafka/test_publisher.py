"""What is published and what is not, on a fake producer with the real one's signatures."""

import inspect
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from contract.errors import LogUnavailable
from contract.labels import GapReason
from contract.records import Crop, Face, Gap, Progress, Record, SessionOpened
from contract.topics import MESSAGE_LIMIT, partition_of
from contract.wire import Read, record_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from kafka import KafkaProducer
    from kafka.errors import (
        KafkaTimeoutError,
        MessageSizeTooLargeError,
        OutOfOrderSequenceNumberError,
    )
    from kafka.future import Future

    from ingest.kafka import outbox as outbox_module
    from ingest.kafka.outbox import FOR_EVER_MS, SETTINGS, Outbox, Producer, size_of
    from ingest.kafka.publisher import Halted, KafkaPublisher, jpeg

PARTITIONS = 12
JPEG = b"\xff\xd8" + bytes(8000) + b"\xff\xd9"


class FakeProducer:
    """Keeps what it is given until a test acknowledges or fails it."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.sent: list[tuple[int, Read, Future]] = []
        self.closed = False
        self.config: dict[str, Any] = {}
        self._sender = SimpleNamespace(force_close=lambda: None, join=lambda timeout: None)

    def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Future:
        assert partition is not None
        future = Future()
        self.sent.append((partition, record_of(key, value, headers or []), future))
        return future

    def partitions_for(self, topic: str) -> set[int]:
        return set(range(PARTITIONS))

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        self.closed = True

    def acknowledge(self, count: int | None = None) -> None:
        waiting = [future for _, _, future in self.sent if not future.is_done]
        for future in waiting[:count]:
            future.success(None)

    def records(self) -> list[Record]:
        return [read.record for _, read, _ in self.sent]  # type: ignore[misc]


class Producers:
    """Every producer that an outbox opened, the last one at hand."""

    def __init__(self) -> None:
        self.opened: list[FakeProducer] = []
        self.down = False

    def __call__(self, **settings: Any) -> Producer:
        if self.down:
            raise KafkaTimeoutError("nobody there")
        self.opened.append(FakeProducer(**settings))
        return self.opened[-1]

    @property
    def last(self) -> FakeProducer:
        return self.opened[-1]


@pytest.fixture
def producers() -> Producers:
    return Producers()


def an_opening(source: str = "cam", dated: bool = True) -> SessionOpened:
    return SessionOpened(
        source=source,
        session="s",
        sequence=0,
        uri="rtsp://cam",
        event_time=0,
        dated=dated,
        size_wh=(640, 480),
        fps=25.0,
        sample_hz=None,
        keeps_pictures=False,
    )


def a_face(sequence: int, crop: Crop = JPEG, source: str = "cam") -> Face:
    return Face(
        source=source,
        session="s",
        sequence=sequence,
        event_time=sequence * 40_000,
        frame=sequence,
        track=1,
        person="cam.s.1",
        box_xywh=(1.0, 2.0, 30.0, 40.0),
        quality=0.5,
        sharpness=0.5,
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        score=0.9,
        crop=crop,
    )


def a_progress(sequence: int, closed: bool = False) -> Progress:
    return Progress(
        source="cam",
        session="s",
        sequence=sequence,
        event_time=sequence * 40_000,
        frames=sequence,
        looked_at=sequence,
        closed=closed,
    )


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_no_caller_waits_while_a_new_producer_is_opened(producers: Producers) -> None:
    opening, may_open = threading.Event(), threading.Event()

    def slow(**settings: Any) -> Producer:
        if producers.opened:
            opening.set()
            assert may_open.wait(30)
        return producers(**settings)

    publisher = KafkaPublisher(Outbox("a:9092", new_producer=slow), live=["cam"])
    publisher.publish(a_face(0))
    producers.last.sent[0][2].failure(KafkaTimeoutError("given up"))
    assert opening.wait(30)

    publisher.publish(a_face(1))  # returns while the other thread still meets its broker
    assert len(producers.opened) == 1
    may_open.set()

    wait_until(lambda: len(producers.opened) == 2 and len(producers.last.sent) == 2)
    assert [record.sequence for record in producers.last.records()] == [0, 1]
    assert producers.last.config["max_block_ms"] == outbox_module.SEND_MS


def test_the_fake_has_the_signatures_of_the_real_producer() -> None:
    for name in ("send", "partitions_for", "close"):
        real = list(inspect.signature(getattr(KafkaProducer, name)).parameters)
        assert list(inspect.signature(getattr(FakeProducer, name)).parameters) == real


def test_every_setting_is_known_to_the_real_producer() -> None:
    assert set(SETTINGS) <= set(KafkaProducer.DEFAULT_CONFIG)
    assert (SETTINGS["acks"], SETTINGS["enable_idempotence"]) == ("all", True)
    assert SETTINGS["delivery_timeout_ms"] == FOR_EVER_MS > 365 * 24 * 3_600_000


def test_a_source_lies_on_the_partition_that_the_contract_says(producers: Producers) -> None:
    publisher = KafkaPublisher(Outbox("a:9092,b:9092", new_producer=producers))

    for source in ("cam", "door", "yard"):
        publisher.publish(a_face(1, source=source))

    assert [partition for partition, _, _ in producers.last.sent] == [
        partition_of(source, PARTITIONS) for source in ("cam", "door", "yard")
    ]
    assert producers.last.settings["bootstrap_servers"] == ["a:9092", "b:9092"]


def test_raw_crops_become_jpeg_in_the_right_colours(producers: Producers) -> None:
    red = np.zeros((160, 160, 3), np.uint8)
    red[..., 0] = 255

    KafkaPublisher(Outbox("a:9092", new_producer=producers)).publish(a_face(1, red))

    (face,) = producers.last.records()
    assert isinstance(face, Face)
    assert isinstance(face.crop, bytes)
    shown = cv2.imdecode(np.frombuffer(face.crop, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(shown.astype(int) - red).max() <= 3  # JPEG of quality 92 on one flat colour


def test_a_file_waits_until_the_broker_has_acknowledged(producers: Producers) -> None:
    outbox = Outbox("a:9092", budget=20_000, new_producer=producers)
    publisher = KafkaPublisher(outbox)
    writing = in_background(lambda: [publisher.publish(a_face(n)) for n in range(50)])  # type: ignore[func-returns-value,arg-type,return-value]

    highest = 0
    while writing.is_alive():
        highest = max(highest, outbox.held_bytes)
        writing.join(0.002)
        producers.last.acknowledge(1)

    assert [record.sequence for record in producers.last.records()] == list(range(50))
    assert highest <= 20_000 + size_of_face()  # one record may go over


def size_of_face() -> int:
    from contract.wire import message_of

    return size_of(message_of(a_face(1)))


def test_a_file_that_waits_can_be_stopped(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.kafka.publisher.GRACE_S", 0.0)
    stop = threading.Event()
    publisher = KafkaPublisher(Outbox("a:9092", budget=1, new_producer=producers), stop=stop)
    publisher.publish(a_face(0))
    threading.Timer(0.1, stop.set).start()

    with pytest.raises(Halted):
        publisher.publish(a_face(1))

    assert [record.sequence for record in producers.last.records()] == [0]


def test_a_camera_drops_into_one_gap_with_exact_bounds(producers: Producers) -> None:
    outbox = Outbox("a:9092", budget=20_000, new_producer=producers)
    publisher = KafkaPublisher(outbox, live=["cam"])
    publisher.publish(an_opening())
    for n in range(1, 10):  # there is room for three: 1, 2, 3
        publisher.publish(a_face(n))
    publisher.publish(a_progress(10))  # says no more than the next one
    publisher.publish(a_face(11))
    producers.last.acknowledge()
    publisher.publish(a_face(12))

    records = producers.last.records()

    assert [record.sequence for record in records] == [0, 1, 2, 3, 11, 12]
    assert records[4] == Gap(
        source="cam", session="s", sequence=11, begin=4 * 40_000, end=11 * 40_000 + 1, reason=GapReason.DROPPED
    )
    assert publisher.sent()["cam"].dropped == 7


def test_what_a_camera_may_not_leave_out_goes_beyond_the_budget(producers: Producers) -> None:
    publisher = KafkaPublisher(Outbox("a:9092", budget=1, new_producer=producers), live=["cam"])
    publisher.publish(an_opening())
    for n in range(1, 4):
        publisher.publish(a_face(n))

    publisher.publish(a_progress(4, closed=True))

    _, gap, closing = producers.last.records()
    assert isinstance(gap, Gap)
    assert (gap.sequence, gap.begin, gap.end) == (3, 40_000, 120_001)
    assert closing == a_progress(4, closed=True)


def test_a_stretch_dropped_at_the_end_is_told_when_the_publisher_closes(producers: Producers) -> None:
    publisher = KafkaPublisher(Outbox("a:9092", budget=1, new_producer=producers), live=["cam"])
    for n in range(3):
        publisher.publish(a_face(n))
    threading.Timer(0.1, producers.last.acknowledge).start()
    threading.Timer(0.3, producers.last.acknowledge).start()

    publisher.close(5.0)

    assert [record.sequence for record in producers.last.records()] == [0, 2]
    assert isinstance(producers.last.records()[1], Gap)


def test_a_stretch_whose_wait_for_room_is_halted_is_told_when_the_publisher_closes(
    producers: Producers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.kafka.publisher.GRACE_S", 0.0)
    monkeypatch.setattr("ingest.kafka.publisher.RESERVE", 0)
    stop = threading.Event()
    publisher = KafkaPublisher(Outbox("a:9092", budget=1, new_producer=producers), live=["cam"], stop=stop)
    for n in range(3):
        publisher.publish(a_face(n))
    stop.set()
    with pytest.raises(Halted):
        publisher.publish(a_progress(3, closed=True))
    threading.Timer(0.1, producers.last.acknowledge).start()
    threading.Timer(0.3, producers.last.acknowledge).start()

    publisher.close(5.0)

    assert [(type(record), record.sequence) for record in producers.last.records()] == [(Face, 0), (Gap, 2)]


def test_a_face_beyond_the_message_limit_becomes_a_gap_of_its_moment(producers: Producers) -> None:
    publisher = KafkaPublisher(Outbox("a:9092", new_producer=producers))

    publisher.publish(a_face(5, b"\xff\xd8" + bytes(2 * MESSAGE_LIMIT)))

    assert producers.last.records() == [
        Gap(source="cam", session="s", sequence=5, begin=200_000, end=200_001, reason=GapReason.REJECTED)
    ]
    assert publisher.sent()["cam"].refused == 1


def test_a_face_that_the_topic_finds_too_large_becomes_a_gap_in_its_place(
    producers: Producers, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox("a:9092", new_producer=producers)
    publisher = KafkaPublisher(outbox)
    for n in range(3):
        publisher.publish(a_face(n))
    producers.last.acknowledge(1)

    producers.last.sent[1][2].failure(MessageSizeTooLargeError("topic takes 1 KB"))
    wait_until(lambda: len(producers.opened) == 2 and len(producers.last.sent) == 2)

    assert producers.last.records() == [
        Gap(source="cam", session="s", sequence=1, begin=40_000, end=40_001, reason=GapReason.REJECTED),
        a_face(2),
    ]


def test_only_live_and_dated_faces_grow_stale(producers: Producers) -> None:
    publisher = KafkaPublisher(Outbox("a:9092", new_producer=producers), live=["cam", "undated"], shed_after_s=2.0)
    for source, dated in (("cam", True), ("undated", False), ("file", True)):
        publisher.publish(an_opening(source, dated))
        publisher.publish(a_face(1, source=source))

    stale = {read.record.source: read.stale_at for _, read, _ in producers.last.sent if isinstance(read.record, Face)}

    assert stale == {"cam": 2_040_000, "undated": None, "file": None}


def test_what_a_producer_gives_up_is_sent_again_in_order_by_a_new_one(producers: Producers) -> None:
    outbox = Outbox("a:9092", new_producer=producers)
    publisher = KafkaPublisher(outbox)
    for n in range(6):
        publisher.publish(a_face(n))
    producers.last.acknowledge(2)

    producers.last.sent[2][2].failure(OutOfOrderSequenceNumberError("the broker lost something"))
    publisher.publish(a_face(6))  # goes behind the others
    wait_until(lambda: len(producers.opened) == 2 and len(producers.last.sent) == 5)

    assert [record.sequence for record in producers.last.records()] == [2, 3, 4, 5, 6]
    producers.last.acknowledge()
    assert outbox.close(1.0) == 0


def test_records_wait_while_no_new_producer_can_be_had(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "REVIVE_EVERY_S", 0.02)
    outbox = Outbox("a:9092", new_producer=producers)
    publisher = KafkaPublisher(outbox)
    publisher.publish(a_face(0))
    producers.down = True
    producers.last.sent[0][2].failure(KafkaTimeoutError("given up"))
    publisher.publish(a_face(1))
    assert outbox.flush(0.1) == 2

    producers.down = False
    publisher.publish(a_face(2))
    wait_until(lambda: len(producers.last.sent) == 3)

    assert [record.sequence for record in producers.last.records()] == [0, 1, 2]


def test_a_log_that_did_not_take_everything_is_told_in_one_line(producers: Producers) -> None:
    publisher = KafkaPublisher(Outbox("a:9092", new_producer=producers))
    for n in range(3):
        publisher.publish(a_face(n))
    producers.last.acknowledge(1)

    with pytest.raises(LogUnavailable, match=r"^2 records were not acknowledged by Kafka at a:9092 within 0\.1 s"):
        publisher.close(0.1)


def test_no_broker_or_no_topic_is_said_in_one_line(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: FakeProducer, topic: str) -> set[int]:
        raise KafkaTimeoutError("no metadata")

    monkeypatch.setattr(FakeProducer, "partitions_for", nothing)
    with pytest.raises(LogUnavailable, match="Kafka at a:9092 has no topic faces"):
        Outbox("a:9092", topic="faces", new_producer=producers)
    producers.down = True
    with pytest.raises(LogUnavailable, match=r"no Kafka at a:9092"):
        Outbox("a:9092", topic="faces", new_producer=producers)


def test_many_sources_share_an_outbox_and_each_keeps_its_order(producers: Producers) -> None:
    outbox = Outbox("a:9092", budget=50_000, new_producer=producers)
    publisher = KafkaPublisher(outbox)
    small = replace(a_face(0), crop=b"\xff\xd8" + bytes(500))

    def publish(source: str) -> Iterator[None]:
        for n in range(200):
            publisher.publish(replace(small, source=source, sequence=n))
            yield

    threads = [in_background(lambda name=name: list(publish(name))) for name in ("a", "b", "c")]  # type: ignore[misc]
    while any(thread.is_alive() for thread in threads):
        producers.last.acknowledge()
    producers.last.acknowledge()

    for name in ("a", "b", "c"):
        mine = [record.sequence for record in producers.last.records() if record.source == name]
        assert mine == list(range(200))
    assert (len(outbox), outbox.held_bytes) == (0, 0)


def test_jpeg_keeps_the_edge_of_a_crop() -> None:
    crop = np.random.default_rng(2).integers(0, 256, (112, 112, 3), np.uint8)

    body = jpeg(crop)

    assert body.startswith(b"\xff\xd8")
    assert body.endswith(b"\xff\xd9")
    assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape == (112, 112, 3)
