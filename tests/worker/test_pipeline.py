"""The worker over the real bus and the real store; only the engine is a pure fake."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import TooManyRejected
from contract.readings import Entry, Point
from contract.records import Delivery, Face, Record
from runtime.bus import BusClosed, InProcessBus
from tests.worker.examples import PureEngine, a_card, a_face, a_gap, a_progress, an_erasure, an_opening
from tests.worker.store.harness import SqliteHarness, fold
from worker.commit import LeaseLost
from worker.leases import RecordsMissing
from worker.pipeline import Worker
from worker.reading.portrait import portrait
from worker.reading.reader import Reader
from worker.store import Outcome
from worker.store.sqlite import SqliteStore

LOG = "log-a"


@pytest.fixture
def harness(tmp_path: Path) -> SqliteHarness:
    return SqliteHarness(tmp_path)


@pytest.fixture
def store(harness: SqliteHarness) -> Iterator[SqliteStore]:
    store = harness.open()
    yield store
    store.close()


def a_reader() -> Reader:
    units = a_card(("AU12",), task="action_units")
    return Reader([PureEngine(a_card(("neutral", "happiness"))), PureEngine(units)])


def read_alone(records: Sequence[Record]) -> list[Entry]:
    """What the store must be told, every face read by itself."""
    reader = a_reader()
    return [Point(r, reader([r.crop])[0]) if isinstance(r, Face) else r for r in records]


def deliveries(records: Sequence[Record], partition: int = 0) -> list[Delivery]:
    return [Delivery(LOG, partition, offset, record) for offset, record in enumerate(records)]


def a_story(source: str = "cam", length: int = 60) -> list[Record]:
    """A session with faces of two people, a gap, progress, and somebody who is erased half-way."""
    records: list[Record] = [an_opening(source)]
    for n in range(1, length):
        kinds = {7: a_gap(n, source), length // 2: an_erasure(f"{source}/1", source=source)}
        face = a_face(n, f"{source}/{n % 2}", source)
        records.append(a_progress(n, source) if n % 10 == 0 and n not in kinds else kinds.get(n, face))
    return records


def test_what_is_published_arrives_in_the_store_once_and_in_order(store: SqliteStore, harness: SqliteHarness) -> None:
    stories = [a_story("cam-1"), a_story("cam-2"), a_story("cam-3")]
    bus, worker = InProcessBus(capacity=16), Worker(store, a_reader(), batch_size=8)
    thread = threading.Thread(target=worker.run, args=(bus,))
    thread.start()

    for together in zip(*stories, strict=True):
        for record in together:
            bus.publish(record)
    bus.close()
    thread.join()

    assert harness.contents() == fold(entry for story in stories for entry in read_alone(story))
    assert worker.counters.records == 180
    assert worker.counters.crops == sum(isinstance(record, Face) for story in stories for record in story)
    assert worker.counters.batches >= 180 / 8
    assert all(seconds > 0 for seconds in worker.counters.seconds.values())


def test_faces_of_all_sources_are_read_together_and_committed_apart(store: SqliteStore) -> None:
    reader = a_reader()
    worker = Worker(store, reader)
    engine = reader._engines[0]
    batch = [*deliveries(a_story("cam-1", 5), 0), *deliveries(a_story("cam-2", 5), 1)]

    worker.apply(batch)

    assert engine.calls == [(6, 32, 32, 3)]  # type: ignore[attr-defined] # the erased one is read, too: order decides
    assert worker.counters.commits == 2


def test_a_restarted_worker_goes_on_where_the_store_is(store: SqliteStore, harness: SqliteHarness) -> None:
    story = a_story()
    Worker(store, a_reader()).apply(deliveries(story)[:20])

    later = Worker(store, a_reader())
    later.apply(deliveries(story)[11:40])
    later.apply(deliveries(story)[30:])

    assert harness.contents() == fold(read_alone(story))
    assert later.counters.records == 40


def test_a_fenced_worker_takes_again_and_commits_only_what_is_new(store: SqliteStore, harness: SqliteHarness) -> None:
    story = deliveries(a_story())
    frozen, other = Worker(store, a_reader()), Worker(store, a_reader())
    frozen.apply(story[:10])
    other.apply(story[10:25])

    frozen.apply(story[10:40])

    assert frozen.counters.retaken == 1
    assert harness.contents() == fold(read_alone(a_story()[:40]))


def test_a_worker_that_was_overtaken_asks_the_store_before_it_cries_hole(
    store: SqliteStore, harness: SqliteHarness
) -> None:
    story = deliveries(a_story())
    first, other = Worker(store, a_reader()), Worker(store, a_reader())
    first.apply(story[:10])
    other.apply(story[10:25])

    first.apply(story[25:40])

    assert harness.contents() == fold(read_alone(a_story()[:40]))


def test_a_worker_that_was_overtaken_in_the_middle_of_a_batch_commits_what_follows(
    store: SqliteStore, harness: SqliteHarness
) -> None:
    story = deliveries(a_story())
    first, other = Worker(store, a_reader()), Worker(store, a_reader())
    first.apply(story[:5])
    other.apply(story[5:25])

    first.apply([*story[5:10], *story[25:40]])

    assert harness.contents() == fold(read_alone(a_story()[:40]))


class Unlucky:
    """A store behind a bad line: whatever is asked of it first meets `accident`."""

    def __init__(self, store: SqliteStore, accident: Any) -> None:
        self._store = store
        self._accident = accident

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, *place: Any, **batch: Any) -> Outcome:
        self._accident(*place, **batch)
        return self._store.commit(*place, **batch)


def test_a_commit_whose_answer_was_lost_is_not_applied_twice(store: SqliteStore, harness: SqliteHarness) -> None:
    worker = Worker(Unlucky(store, store.commit), a_reader())

    worker.apply(deliveries(a_story())[:30])
    worker.apply(deliveries(a_story())[30:])

    assert harness.contents() == fold(read_alone(a_story()))
    assert worker.counters.retaken == 2


def test_two_workers_that_fight_for_a_partition_give_up_loudly(store: SqliteStore, harness: SqliteHarness) -> None:
    worker = Worker(Unlucky(store, lambda log, partition, **_: store.take(log, partition)), a_reader())

    with pytest.raises(LeaseLost, match=r"offsets 0\.\.9: not committed in 5 attempts"):
        worker.apply(deliveries(a_story())[:10])

    assert harness.contents() == fold([])


@pytest.mark.parametrize("missing", [0, 4])
def test_a_hole_in_the_log_stops_the_worker_before_the_commit(
    store: SqliteStore, harness: SqliteHarness, missing: int
) -> None:
    batch = deliveries(a_story())[:10]
    del batch[missing]

    with pytest.raises(RecordsMissing, match=f"offset {missing + 1} came, wanted {missing}"):
        Worker(store, a_reader()).apply(batch)

    assert harness.contents() == fold([])


def test_a_store_that_fell_back_behind_the_log_at_hand_stops_the_worker(tmp_path: Path) -> None:
    store, older = SqliteStore(tmp_path / "one.db"), SqliteStore(tmp_path / "older.db")
    failing_over = Unlucky(store, lambda *_, **__: None)
    worker = Worker(failing_over, a_reader())
    worker.apply(deliveries(a_story())[:10])
    older.take(LOG, 0)
    failing_over._store = older

    with pytest.raises(RecordsMissing, match="offset 10 came, wanted 0"):
        worker.apply(deliveries(a_story())[10:20])

    store.close()
    older.close()


def test_a_reading_that_is_no_number_is_never_stored(store: SqliteStore, harness: SqliteHarness) -> None:
    reader = a_reader()
    engine = reader._engines[0]
    engine.logits_of = lambda crop: np.full(2, np.nan, np.float32)  # type: ignore[attr-defined]

    worker = Worker(store, reader)
    worker.apply(deliveries(a_story())[:10])

    assert harness.contents().people == {}
    assert worker.counters.rejected == 8
    assert worker.counters.records == 10


def test_a_publisher_is_released_when_the_worker_fails(store: SqliteStore) -> None:
    bus, failures = InProcessBus(capacity=2), []

    def run() -> None:
        try:
            Worker(store, a_reader(), batch_size=2).run(bus)
        except TooManyRejected as failure:
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    publish = (bus.publish(a_face(n, crop=b"poison")) for n in range(1000))
    with pytest.raises(BusClosed):
        list(publish)
    bus.close()
    thread.join()

    assert len(failures) == 1


def test_a_person_gets_a_picture_where_the_source_keeps_them(store: SqliteStore, harness: SqliteHarness) -> None:
    faces = [a_face(n, quality=quality) for n, quality in enumerate([0.3, 0.9, 0.5], 1)]

    Worker(store, a_reader()).apply(deliveries([an_opening(keeps_pictures=True), *faces]))

    row = harness.contents().people["ann"]
    assert row["picture"] == portrait(faces[1].crop)
    assert row["picture_quality"] == 0.9


WINDOWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 25), st.integers(1, 30)), max_size=12)


@settings(max_examples=25, deadline=None)
@given(windows=WINDOWS)
def test_two_workers_handed_any_overlapping_windows_make_one_fold(
    windows: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Which worker is handed the log from how far back, and how far: what Kafka does around a rebalance."""
    harness = SqliteHarness(tmp_path_factory.mktemp("windows"))
    story, position = a_story(length=80), 0

    with closing(harness.open()) as store:
        workers = [Worker(store, a_reader()), Worker(store, a_reader())]
        for who, back, length in [*windows, (0, 25, 80)]:
            begin = max(0, position - back)
            window = deliveries(story)[begin : begin + length]
            workers[who].apply(window)
            position = max(position, begin + len(window))

    assert harness.contents() == fold(read_alone(story[:position]))
