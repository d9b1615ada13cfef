"""Several runs of one file, started, stopped, killed and resumed at random: the store holds what one run would say."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from contract.labels import GapReason
from contract.readings import Entry, Point
from contract.records import Erase, Face, Gap, Progress, Record
from contract.wire import message_of, record_of
from ingest.faces.align import TEMPLATE
from ingest.faces.follow import SeenFace
from ingest.footage import End, Frame, Hole, Item, Rgb
from ingest.pipeline import Stored, records_of
from ingest.settings import IngestSettings
from ingest.sources import Source
from tests.worker.examples import SCHEMA
from tests.worker.store.harness import Harness, RedisHarness, SqliteHarness, fold
from worker.store import Outcome

LOG = "log-a"
FRAME_US = 300_000
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
LANDMARKS = (np.asarray(TEMPLATE, np.float32) * 30 + 8).reshape(5, 2)
IN_MEMORY = Path("/dev/shm")


class Film:
    """Twelve frames of 0.3 s, damaged in the middle: origin and footage in one."""

    fps, duration, frames_expected, size_wh = 3.3, 12 * FRAME_US, 12, (64, 48)
    began_at = down_since = None
    notes = ()
    start_offset = 0

    def sessions(self, stop: Event, track: object = None) -> Iterator["Film"]:
        yield self

    def session_id(self, footage: object, identity: object) -> str:
        return "s1"

    def items(self, stop: Event) -> Iterator[Item | None]:
        for n in range(12):
            if n == 5:
                yield Hole(n * FRAME_US, (n + 1) * FRAME_US, GapReason.DECODE_ERROR)
            else:
                yield Frame(n, n * FRAME_US, (n + 1) * FRAME_US, lambda: PICTURE)
        yield End(12, 12 * FRAME_US)

    def close(self) -> None:
        pass


class Sees:
    """Nobody, one or two faces, by frame."""

    def see(self, frame_rgb: Rgb, media_time_us: int) -> list[SeenFace]:
        count = (media_time_us // FRAME_US) % 3
        box = np.array([8, 8, 32, 32], np.float32)
        return [SeenFace(track=n, person=n, box_xywh=box, landmarks=LANDMARKS + n, score=0.9) for n in range(count)]


def run(stored: Callable[[str, str], Stored], stop: Event) -> Iterator[Record]:
    source = Source(id="cam", uri="film", origin=Film())  # type: ignore[arg-type]
    for record in records_of(source, IngestSettings(), Sees, stored=stored, stop=stop):
        yield with_bytes(record)


def with_bytes(record: Record) -> Record:
    """The record after a way over the wire."""
    if isinstance(record, Face):
        from msgspec.structs import replace

        record = replace(record, crop=b"\xff\xd8" + bytes(8))
    message = message_of(record)
    read = record_of(message.key, message.value, message.headers).record
    assert not hasattr(read, "reason") or isinstance(read, Gap)
    return read  # type: ignore[return-value]


def entry_of(record: Record) -> Entry:
    if isinstance(record, Face):
        return Point(record, np.full(3, record.sequence / 100, np.float32))
    return record


WHOLE = list(run(lambda source, session: Stored(), Event()))


def test_an_uninterrupted_run_numbers_everything() -> None:
    assert [record.sequence for record in WHOLE] == list(range(len(WHOLE)))
    assert {type(record).__name__ for record in WHOLE} == {"SessionOpened", "Face", "Gap", "Progress"}


@dataclass
class Writer:
    records: Iterator[Record]
    stop: Event = field(default_factory=Event)


class ManyWriters(RuleBasedStateMachine):
    """Each writer sees what the log holds when it opens the file; the worker comes after, in pieces of any size."""

    make_harness: Callable[[Path], Harness]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mien-store-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.harness = type(self).make_harness(self.folder)
        self.store: Any = self.harness.open()
        self.log: list[Record] = []
        self.applied = 0
        self.writers: list[Writer] = []

    @initialize()
    def take(self) -> None:
        self.epoch = self.store.take(LOG, 0).epoch

    def known(self, source: str, session: str) -> Stored:
        """As `ingest.past` finds it: what is stored, and what waits in the log."""
        marks = [self.store.high_water(source, session)]
        marks += [r.sequence for r in self.log[self.applied :] if not (isinstance(r, Gap) and r.is_interruption)]
        closed = self.store.is_closed(source, session) or any(isinstance(r, Progress) and r.closed for r in self.log)
        mark = max((mark for mark in marks if mark is not None), default=None)
        return Stored(mark, self.store.interruptions(source, session), closed)

    @precondition(lambda self: len(self.writers) < 4)
    @rule()
    def start(self) -> None:
        stop = Event()
        self.writers.append(Writer(run(self.known, stop), stop))

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 3), count=st.integers(1, 12))
    def publish(self, which: int, count: int) -> None:
        writer = self.writers[which % len(self.writers)]
        for _ in range(count):
            if (record := next(writer.records, None)) is None:
                self.writers.remove(writer)
                return
            self.log.append(record)

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 3))
    def stop(self, which: int) -> None:
        writer = self.writers.pop(which % len(self.writers))
        writer.stop.set()
        self.log += writer.records

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 3))
    def kill(self, which: int) -> None:
        self.writers.pop(which % len(self.writers))

    @rule(count=st.integers(1, 30), again=st.booleans())
    def apply(self, count: int, again: bool) -> None:
        entries = [entry_of(record) for record in self.log[self.applied : self.applied + count]]
        if not entries:
            return
        if again:
            self.epoch = self.store.take(LOG, 0).epoch
        outcome = self.store.commit(
            LOG, 0, epoch=self.epoch, previous_offset=self.applied, next_offset=self.applied + len(entries),
            entries=entries, schema=SCHEMA,
        )  # fmt: skip
        assert outcome is Outcome.APPLIED
        self.applied += len(entries)
        self.check()

    def check(self) -> None:
        """What is stored is the beginning of the whole film, and one open end at most."""
        found = self.harness.contents()
        mark = self.store.high_water("cam", "s1")
        assert mark == max(r.sequence for r in self.log[: self.applied] if not isinstance(r, Gap) or r.frames is None)
        wanted = fold(entry_of(record) for record in WHOLE[: mark + 1])
        assert (found.points, found.people) == (wanted.points, wanted.people)
        assert {gap for gap in found.gaps if gap[2] >= 0} == wanted.gaps
        ((_, row),) = found.sessions.items()
        (_, plain), *_ = wanted.sessions.items()
        assert found == fold(entry_of(record) for record in self.log[: self.applied])
        assert (row["complete_until"] or 0) >= (plain["complete_until"] or 0)

    def teardown(self) -> None:
        self.log += run(self.known, Event())
        if self.applied < len(self.log):
            self.apply(len(self.log), again=False)
        assert self.harness.contents() == fold(entry_of(record) for record in WHOLE)
        self.store.close()


@pytest.mark.parametrize("make_harness", [SqliteHarness, RedisHarness])
def test_writers_of_one_session_add_up_to_one(make_harness: Callable[[Path], Harness]) -> None:
    machine = type("Machine", (ManyWriters,), {"make_harness": staticmethod(make_harness)})

    machine.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
    machine.TestCase().runTest()


@pytest.mark.parametrize("make_harness", [SqliteHarness, RedisHarness])
@pytest.mark.parametrize("last_frame", [3, 9])
def test_the_one_ahead_is_stopped_and_the_other_goes_on(
    make_harness: Callable[[Path], Harness], tmp_path: Path, last_frame: int
) -> None:
    """As it was lost: 986 of 988 readings."""
    stop, log = Event(), list[Record]()
    ahead, behind = run(lambda a, b: Stored(), stop), run(lambda a, b: Stored(), Event())
    log += [next(ahead) for _ in range(last_frame)]
    stop.set()
    log += ahead
    log += behind
    harness = make_harness(tmp_path)
    store = harness.open()
    epoch = store.take(LOG, 0).epoch
    entries = [entry_of(record) for record in log]

    store.commit(LOG, 0, epoch=epoch, previous_offset=0, next_offset=len(entries), entries=entries, schema=SCHEMA)

    assert harness.contents() == fold(entry_of(record) for record in WHOLE)
    store.close()


@pytest.mark.parametrize("make_harness", [SqliteHarness, RedisHarness])
def test_a_session_left_open_shows_where_it_was_stopped(
    make_harness: Callable[[Path], Harness], tmp_path: Path
) -> None:
    stop = Event()
    running = run(lambda a, b: Stored(), stop)
    log = [next(running) for _ in range(5)]
    stop.set()
    log += running
    harness = make_harness(tmp_path)
    store = harness.open()
    epoch = store.take(LOG, 0).epoch
    store.commit(
        LOG, 0, epoch=epoch, previous_offset=0, next_offset=len(log), entries=[entry_of(r) for r in log], schema=SCHEMA
    )

    ((*_, sequence, begin, end, reason, _),) = harness.contents().gaps

    assert (sequence, end, reason) == (-1, 12 * FRAME_US, "interrupted")
    row = harness.contents().sessions["cam", "s1"]
    assert (row["complete_until"], row["closed"]) == (begin, 0)
    assert not isinstance(log[-1], Erase)
    store.close()
