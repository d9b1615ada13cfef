"""A producer as a process: synthetic sources through the real Kafka publisher, at a given rate, until asked to end."""

import dataclasses
import logging
import random
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from bench.faults.bombs import bomb
from bench.faults.reading import KILLER_FACE, POISON_FACE
from bench.faults.source import Numbers, Plan, picture, source_name
from bench.faults.versions import write_major, write_minor
from contract.records import Face, Record
from ingest.kafka.outbox import BUDGET, Outbox
from ingest.kafka.publisher import KafkaPublisher

OVERSIZE = 2 << 20  # bytes
FLUSH_S = 60.0


class Settings(msgspec.Struct, frozen=True):
    """What to produce."""

    bootstrap: str
    topic: str
    plan: Plan
    report: str
    control: str = ""
    rate_hz: float = 10.0  # frames per second of each source
    frames: int = 1 << 23  # at most, of each source
    live: bool = False
    stale_s: float | None = None
    budget: int = BUDGET  # bytes that wait for the broker
    poison: float = 0.0  # share of faces that cannot be read
    bombs: float = 0.0  # share of faces whose pictures unpack to gigabytes
    killer_frame: int = -1  # of the first source: its first face kills whoever reads it
    oversize_every: int = 0  # frames of the first source of which one face has 2 MB
    minor: int = 0  # of the wire version
    major: int = 0
    seed: int = 0


class Report(msgspec.Struct, frozen=True):
    """What was produced."""

    frames: dict[int, int]  # source -> frames
    records: int
    poison: list[Numbers]
    oversize: list[Numbers]
    dropped: int  # faces that found no room
    refused: int  # faces that were too large
    start_us: int


class Producer:
    """One round per frame: every source says what it sees in it."""

    def __init__(self, settings: Settings, publisher: KafkaPublisher) -> None:
        self.stop = threading.Event()
        self.records = 0
        self.poison: list[Numbers] = []
        self.oversize: list[Numbers] = []
        self.settings = settings
        self._publisher = publisher
        self._random = random.Random(settings.seed)  # noqa: S311 - repeatable on purpose

    def run(self) -> int:
        """The number of frames of every source."""
        plan = self.settings.plan
        for source in plan.sources:
            self._publish(plan.opening(source))
        begun, frame = time.monotonic(), 0
        while frame < self.settings.frames and not self.stop.is_set():
            for source in plan.sources:
                for record in plan.frame(source, frame):
                    self._publish(self._spoilt(record, source, frame))
            frame += 1
            self.stop.wait(max(0.0, begun + frame / self.settings.rate_hz - time.monotonic()))
        for source in plan.sources:
            self._publish(plan.closing(source, frame))
        return frame

    def _publish(self, record: Record) -> None:
        self._publisher.publish(record)
        self.records += 1

    def _spoilt(self, record: Record, source: int, frame: int) -> Record:
        """The record, or what cannot be read of it."""
        if not isinstance(record, Face):
            return record
        numbers = Numbers(source, self.settings.plan.session, frame, record.track)
        every = self.settings.oversize_every
        if every and source == self.settings.plan.sources[0] and frame % every == every - 1 and record.track == 0:
            self.oversize.append(numbers)
            return msgspec.structs.replace(record, crop=bytes(record.crop) + bytes(OVERSIZE))
        if (source, frame, record.track) == (self.settings.plan.sources[0], self.settings.killer_frame, 0):
            self.poison.append(numbers)
            return msgspec.structs.replace(record, crop=picture(dataclasses.replace(numbers, face=KILLER_FACE)))
        if self._random.random() < self.settings.bombs:
            self.poison.append(numbers)
            return msgspec.structs.replace(record, crop=bomb(len(self.poison)))
        if self._random.random() < self.settings.poison:
            self.poison.append(numbers)
            return msgspec.structs.replace(record, crop=self._poison(numbers, bytes(record.crop)))
        return record

    def _poison(self, numbers: Numbers, crop: bytes) -> bytes:
        """A cut picture, no picture at all, or one that the engine cannot bear."""
        kind = self._random.randrange(3)
        return (crop[:200], b"not a picture", picture(dataclasses.replace(numbers, face=POISON_FACE)))[kind]


def main(path: Path) -> None:
    """Produce as the JSON file says; SIGTERM ends the sessions and flushes."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = msgspec.json.decode(path.read_bytes(), type=Settings)
    if settings.live and not settings.plan.start_us:
        plan = dataclasses.replace(settings.plan, start_us=time.time_ns() // 1000)
        settings = msgspec.structs.replace(settings, plan=plan)
    if settings.minor:
        write_minor(settings.minor)
    if settings.major:
        write_major(settings.major)
    live = [source_name(source) for source in settings.plan.sources] if settings.live else []
    outbox = Outbox(settings.bootstrap, topic=settings.topic, budget=settings.budget)
    publisher = KafkaPublisher(outbox, live=live, shed_after_s=settings.stale_s)
    producer = Producer(settings, publisher)
    signal.signal(signal.SIGTERM, lambda *_: producer.stop.set())
    frames = producer.run()
    publisher.close(FLUSH_S)
    Path(settings.report).write_bytes(msgspec.json.encode(report(producer, publisher, frames)))


def report(producer: Producer, publisher: KafkaPublisher, frames: int) -> Report:
    """What was said."""
    plan, sent = producer.settings.plan, publisher.sent().values()
    return Report(
        frames=dict.fromkeys(plan.sources, frames),
        records=producer.records,
        poison=producer.poison,
        oversize=producer.oversize,
        dropped=sum(each.dropped for each in sent),
        refused=sum(each.refused for each in sent),
        start_us=plan.start_us,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
