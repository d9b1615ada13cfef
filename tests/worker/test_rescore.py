"""A stored range read again: killed, fenced, rolled back, beside a worker that goes on; over both stores."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from contract.errors import EngineFailed, StoreUnavailable
from contract.layers import layer_name
from contract.readings import Entry, NetVersion, Point, ReadingSchema, Skipped
from contract.records import Crop, Delivery, Face, Record, Unreadable
from tests.worker.examples import SCHEMA, a_face, a_progress, an_erasure, an_opening
from tests.worker.store.harness import Contents, Harness, RedisHarness, SqliteHarness, fold
from worker.counters import Counters
from worker.reading.entries import EntryMaker
from worker.reading.faces import FaceReader
from worker.reading.poison import Limits
from worker.reading.portrait import Portraits
from worker.reading.reader import Values, Wants
from worker.rescore import Rescorer, Summary
from worker.retry import Stopped
from worker.store import Outcome

LOG = "log-a"
NEWER = ReadingSchema((NetVersion("fake", "2", "1" * 64),), SCHEMA.channels)
LAYER = layer_name(NEWER.id, 1)
LENIENT = Limits(consecutive=1000, share=1.0)


class Net:
    """Says of a crop its first byte; may fail at a batch, or on a crop."""

    wants: Wants = "bytes"

    def __init__(self, schema: ReadingSchema = NEWER, sign: int = -1, fails_at: int | None = None) -> None:
        self.schema = schema
        self._sign = sign
        self._fails_at = fails_at
        self.batches = 0
        self.meanwhile: Callable[[int], None] = lambda batch: None

    def __call__(self, crops: Sequence[Crop]) -> Values:
        self.batches += 1
        if self.batches == self._fails_at:
            raise EngineFailed("the power went off")
        self.meanwhile(self.batches)
        if any(crop[:1] == b"\xff" for crop in crops):
            raise RuntimeError("the kernel choked")
        shares = np.array([crop[0] / 255 for crop in crops], np.float32)
        shares = shares if self._sign > 0 else 1 - shares
        return np.repeat(shares[:, None], len(self.schema.channels), axis=1)


class MemoryRanges:
    """What a list of records holds from `begins` on."""

    log = LOG
    partitions = (0,)

    def __init__(self, records: Sequence[Record | Unreadable], begins: int = 0) -> None:
        self.records = list(records)
        self.begins = begins

    def read(self, partition: int, begin: int, end: int) -> Iterator[list[Delivery]]:
        assert end <= len(self.records)
        for at in range(max(begin, self.begins), end, 7):
            yield [Delivery(LOG, 0, offset, self.records[offset], stale_at=1) for offset in range(at, min(at + 7, end))]


def a_story() -> list[Record | Unreadable]:
    """Two people over two minutes, told partly twice; one face that no net can be shown, one that is no face at all."""
    story: list[Record | Unreadable] = [an_opening(keeps_pictures=True)]
    for n in range(1, 60):
        face = structs.replace(a_face(n, "ann" if n % 3 else "bob", crop=bytes([n])), event_time=n * 1_500_000)
        story.append(face)
    story[20] = structs.replace(story[20], crop=b"\xff")
    story.insert(31, Unreadable(reason="no record", key="cam", sha256="0" * 64, size=3))
    return [*story[:40], *story[25:], a_progress(60)]


STORY = a_story()


def entries_of(net: Net, records: Sequence[Record | Unreadable]) -> list[Entry]:
    """What a worker with this net tells the store."""
    portraits = Portraits(lambda source, session: False)
    faces = FaceReader(net, Counters(), now_us=lambda: 0)
    deliveries = [Delivery(LOG, 0, offset, record) for offset, record in enumerate(records)]
    readings = faces.read(faces.decode(deliveries))
    return EntryMaker(net.schema, portraits, Counters(), LENIENT).entries(deliveries, readings)[0]


def commit(store: Any, epoch: int, entries: Sequence[Entry], begin: int = 0) -> None:
    outcome = store.commit(
        LOG,
        0,
        epoch=epoch,
        previous_offset=begin,
        next_offset=begin + len(entries),
        entries=entries,
        schema=SCHEMA,
    )
    assert outcome is Outcome.APPLIED


OLD = entries_of(Net(SCHEMA, sign=1), STORY)
NEW = entries_of(Net(), STORY)


@pytest.fixture(params=[SqliteHarness, RedisHarness])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    found: Harness = request.param(tmp_path)
    return found


@pytest.fixture
def store(harness: Harness) -> Iterator[Any]:
    """It holds the story as the old net has read it."""
    store = harness.open()
    commit(store, store.take(LOG, 0).epoch, OLD)
    yield store
    store.close()


def rescore(store: Any, net: Net | None = None, ranges: MemoryRanges | None = None, **options: Any) -> Summary:
    rescorer = Rescorer(store, ranges or MemoryRanges(STORY), net or Net(), batch_size=10, limits=LENIENT, **options)
    return rescorer.run()


def unlayered(contents: Contents) -> Contents:
    return dataclasses.replace(contents, layers={})


def test_the_layer_is_what_the_newer_net_alone_would_have_stored_and_nothing_else_changes(
    store: Any, harness: Harness
) -> None:
    summary = rescore(store)

    found = harness.contents()
    assert found.layers == {LAYER: fold(NEW).points}
    assert unlayered(found) == fold(OLD)
    faces = sum(isinstance(entry, Point) for entry in NEW)
    assert summary == Summary(partitions=1, records=len(STORY), faces=faces)
    assert any(isinstance(entry, Skipped) for entry in OLD)


def test_twice_is_as_good_as_once(store: Any, harness: Harness) -> None:
    rescore(store)
    before = harness.contents()

    assert rescore(store) == Summary(partitions=1)

    assert harness.contents() == before


@pytest.mark.parametrize("batch", [1, 3, 9])
def test_who_is_killed_is_followed_by_a_run_that_goes_on(store: Any, harness: Harness, batch: int) -> None:
    with pytest.raises(EngineFailed):
        rescore(store, Net(fails_at=batch))
    summary = rescore(store)

    assert summary.records < len(STORY) or batch == 1
    assert harness.contents().layers == {LAYER: fold(NEW).points}


def test_who_is_asked_to_stop_stops_behind_a_batch(store: Any, harness: Harness) -> None:
    net = Net()
    rescorer = Rescorer(store, MemoryRanges(STORY), net, batch_size=10, limits=LENIENT)
    net.meanwhile = lambda batch: rescorer._stop.set() if batch == 2 else None

    with pytest.raises(Stopped):
        rescorer.run()

    assert net.batches == 2
    rescore(store)
    assert harness.contents().layers == {LAYER: fold(NEW).points}


def test_a_second_process_takes_the_partition_over_and_ends_it_alone(store: Any, harness: Harness) -> None:
    zombie = Net()
    zombie.meanwhile = lambda batch: rescore(store) and None if batch == 3 else None

    assert rescore(store, zombie).left == 1

    assert harness.contents().layers == {LAYER: fold(NEW).points}
    assert unlayered(harness.contents()) == fold(OLD)


def test_who_is_erased_meanwhile_stays_erased(store: Any, harness: Harness) -> None:
    net, erasure = Net(), an_erasure("ann")
    epoch = store.take(LOG, 0).epoch
    net.meanwhile = lambda batch: commit(store, epoch, [erasure], len(OLD)) if batch == 3 else None

    rescore(store, net)

    found = harness.contents()
    assert found.layers == {LAYER: {"bob": fold(NEW).points["bob"]}}
    assert unlayered(found) == fold([*OLD, erasure])


def test_a_worker_goes_on_meanwhile_and_its_news_are_left_to_the_next_run(store: Any, harness: Harness) -> None:
    news = [structs.replace(a_face(n, crop=bytes([n])), event_time=n * 1_500_000) for n in range(61, 100)]
    old, net = entries_of(Net(SCHEMA, sign=1), news), Net()
    epoch = store.take(LOG, 0).epoch

    def meanwhile(batch: int) -> None:
        if batch <= len(old):
            commit(store, epoch, old[batch - 1 : batch], len(OLD) + batch - 1)

    net.meanwhile = meanwhile
    ranges = MemoryRanges([*STORY, *news])
    rescore(store, net, ranges)

    told = min(net.batches, len(old))
    assert harness.contents().layers == {LAYER: fold(NEW).points}
    assert unlayered(harness.contents()) == fold([*OLD, *old[:told]])
    assert rescore(store, Net(), ranges).records == told
    again = entries_of(Net(), news[:told])
    assert harness.contents().layers == {LAYER: fold([*NEW, *again]).points}


def test_what_the_log_no_longer_holds_is_counted_and_keeps_its_old_reading(store: Any, harness: Harness) -> None:
    summary = rescore(store, ranges=MemoryRanges(STORY, begins=23))

    assert (summary.expired, summary.records) == (23, len(STORY) - 23)
    held = [entry for entry in NEW[23:] if not isinstance(entry, Point) or entry.sequence > 22]
    assert harness.contents().layers == {LAYER: fold([NEW[0], *held]).points}
    assert rescore(store, ranges=MemoryRanges(STORY, begins=len(STORY))) == Summary(partitions=1)


def test_all_that_has_expired_is_done_with(store: Any, harness: Harness) -> None:
    assert rescore(store, ranges=MemoryRanges(STORY, begins=len(STORY))).expired == len(STORY)

    assert rescore(store).records == 0
    assert harness.contents() == fold(OLD)


def test_a_lost_answer_is_no_second_reading(store: Any, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, lost = store.rescore, [2, 4]

    def rescored(*place: Any, **what: Any) -> Outcome:
        outcome: Outcome = apply(*place, **what)
        if lost and what["next_offset"] >= 10 * lost[0]:
            lost.pop(0)
            raise StoreUnavailable("nobody heard the answer")
        return outcome

    monkeypatch.setattr(store, "rescore", rescored)
    rescore(store)

    assert lost == []
    assert harness.contents().layers == {LAYER: fold(NEW).points}


def test_a_flawed_record_that_workers_passed_over_does_not_stop_the_rest(harness: Harness) -> None:
    flawed = structs.replace(a_face(4, crop=b"\x04"), frame=2**32)
    story: list[Record] = [an_opening(), a_face(3, crop=b"\x03"), flawed, a_face(5, crop=b"\x05")]
    entries: list[Entry] = [
        Point(record, np.full(3, 0.5, np.float32)) if isinstance(record, Face) else record for record in story
    ]
    store: Any = harness.open()
    entries[2] = dataclasses.replace(OLD[20], sequence=4)  # type: ignore[type-var]
    commit(store, store.take(LOG, 0).epoch, entries)

    rescore(store, ranges=MemoryRanges(story))

    assert [len(points) for points in harness.contents().layers[LAYER].values()] == [2]
    store.close()
