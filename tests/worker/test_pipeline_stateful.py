"""Workers that come, go, freeze and repeat themselves over one log and one store that falls back: always one fold."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contract.readings import Entry, Point, Skipped
from contract.records import Delivery, Face, Record, Unreadable
from tests.worker.examples import a_face, a_gap, a_progress
from tests.worker.fakes import LOG, BytesReader, Clock, MemoryStore
from worker.log import Assigned, Revoked
from worker.pipeline import Worker
from worker.reading.poison import Limits

WORKERS, PARTITIONS = 3, 2
PARTITION = st.integers(0, PARTITIONS - 1)
WORKER = st.integers(0, WORKERS - 1)
PIECE = "worker.commit.PIECE_ENTRIES"


class View:
    """What one member of a group sees of the topic: words, and records of what it believes to hold.

    Fetched records wait in `fetched`; a rewind drops them or, where `late`, only after they were handed over.
    """

    def __init__(self, topic: dict[int, list[Record | Unreadable]]) -> None:
        self.topic = topic
        self.events: list[Assigned | Revoked] = []
        self.positions: dict[int, int] = {}
        self.fetched: list[Delivery] = []
        self.late = False
        self.allowed = 0  # deliveries until it freezes

    def fetch(self, partition: int, count: int) -> None:
        begin = self.positions.get(partition)
        if begin is not None:
            records = self.topic[partition][begin : begin + count]
            self.fetched += [Delivery(LOG, partition, begin + n, record) for n, record in enumerate(records)]
            self.positions[partition] = begin + len(records)

    def deliveries(self, wait_s: float) -> Iterator[Delivery | Assigned | Revoked | None]:
        while self.events:
            event = self.events.pop(0)
            if isinstance(event, Revoked):
                self.positions.pop(event.partition, None)
                self._drop(event.partition)
            yield event
        yield None
        while self.fetched and self.allowed:
            self.allowed -= 1
            yield self.fetched.pop(0)
        yield None

    def rewind(self, log: str, partition: int, offset: int) -> bool:
        self.positions[partition] = offset
        if not self.late:
            self._drop(partition)
        return True

    def abandon(self) -> None:
        pass

    def _drop(self, partition: int) -> None:
        self.fetched = [each for each in self.fetched if each.partition != partition]


class Workers(RuleBasedStateMachine):
    """Every rule is something that Kafka, Redis, the network or the scheduler does to us."""

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(PIECE, 3)  # so that a part has several chained commits
        self.clock, self.store = Clock(), MemoryStore()
        self.topic: dict[int, list[Record | Unreadable]] = {partition: [] for partition in range(PARTITIONS)}
        self.views = [View(self.topic) for _ in range(WORKERS)]
        self.workers = [self.a_worker() for _ in range(WORKERS)]

    def a_worker(self) -> Worker:
        """Limits that no accident reaches: what is tested here is where entries end up."""
        limits = Limits(consecutive=10_000, window=10_000)
        return Worker(
            self.store, BytesReader(), batch_size=5, clock=self.clock, limits=limits, now_us=lambda: 0, pause=self.pause
        )

    def pause(self, seconds: float) -> bool:
        self.clock.now += seconds
        return False

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.store.faults.clear()
        self.clock.now += 1000.0
        last = View(self.topic)
        last.events = [Assigned(LOG, partition) for partition in range(PARTITIONS)]
        last.allowed = 10_000
        worker = self.a_worker()
        for _ in range(2):
            worker.run(last)
            for partition in range(PARTITIONS):
                last.fetch(partition, 10_000)
        self.patch.undo()
        for partition, records in self.topic.items():
            assert_fold(self.store.entries.get(partition, []), records)

    @rule(partition=PARTITION, kinds=st.lists(st.sampled_from("fffpguxn"), min_size=1, max_size=12))
    def publish(self, partition: int, kinds: list[str]) -> None:
        for kind in kinds:
            self.topic[partition].append(a_record(kind, len(self.topic[partition]), f"cam-{partition}"))

    @rule(who=WORKER, partition=PARTITION)
    def give(self, who: int, partition: int) -> None:
        """Whoever held it before is not told: it has become a zombie."""
        self.views[who].events.append(Assigned(LOG, partition))

    @rule(who=WORKER, partition=PARTITION)
    def take_away(self, who: int, partition: int) -> None:
        self.views[who].events.append(Revoked(LOG, partition))

    @rule(who=WORKER, partition=PARTITION, count=st.integers(1, 20))
    def fetch(self, who: int, partition: int, count: int) -> None:
        self.views[who].fetch(partition, count)

    @rule(who=WORKER, count=st.integers(0, 30), late=st.booleans())
    def work(self, who: int, count: int, late: bool) -> None:
        """Run until so many deliveries were handled, then freeze."""
        self.views[who].allowed, self.views[who].late = count, late
        self.workers[who].run(self.views[who])

    @rule(who=WORKER, count=st.integers(1, 5))
    def lose_fetched(self, who: int, count: int) -> None:
        """A client that leaves records out."""
        del self.views[who].fetched[:count]

    @rule(who=WORKER)
    def kill(self, who: int) -> None:
        held = self.views[who].positions
        self.views[who], self.workers[who] = View(self.topic), self.a_worker()
        self.views[who].events = [Assigned(LOG, partition) for partition in held]

    @rule(seconds=st.floats(0.5, 100))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(faults=st.lists(st.sampled_from(["", "down", "lost", "refused"]), max_size=4))
    def upset_the_store(self, faults: list[str]) -> None:
        self.store.faults.extend(faults)

    @rule()
    def replicate(self) -> None:
        self.store.keep()

    @rule()
    def fail_over(self) -> None:
        self.store.fail_over()

    @invariant()
    def the_store_holds_the_fold_of_the_log_up_to_its_offset(self) -> None:
        for partition, lease in getattr(self, "store", MemoryStore()).leases.items():
            assert_fold(self.store.entries.get(partition, []), self.topic[partition][: lease.next_offset])


def a_record(kind: str, offset: int, source: str) -> Record | Unreadable:
    if kind == "u":
        return Unreadable(reason=f"no record at {offset}", key=source, sha256="0" * 64, size=offset)
    if kind in "fxn":
        return a_face(offset, source=source, crop={"f": b"face", "x": b"poison", "n": b"not a number"}[kind])
    return a_gap(offset, source) if kind == "g" else a_progress(offset, source)


def assert_fold(entries: list[Entry], records: list[Record | Unreadable]) -> None:
    """One entry per record, in order, each of what the record says."""
    assert len(entries) == len(records)
    for entry, record in zip(entries, records, strict=True):
        if isinstance(record, Face):
            assert isinstance(entry, Point if record.crop == b"face" else Skipped)
            assert entry.sequence == record.sequence
        elif isinstance(record, Unreadable):
            assert entry == Skipped(reason="rejected")  # type: ignore[arg-type]
        else:
            assert entry is record or entry == record


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
