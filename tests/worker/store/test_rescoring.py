"""What every store promises who reads a stretch again (`RescoringStore`)."""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from contract.errors import LogReplaced
from contract.layers import layer_name
from contract.readings import Entry, NetVersion, Point, ReadingSchema
from contract.records import Erase
from tests.worker.examples import SCHEMA, a_gap, a_point, a_progress, an_erasure, an_opening, with_face
from tests.worker.store.harness import Contents, Harness, Packed, RedisHarness, SqliteHarness, fold, scripted_redis
from tests.worker.store.test_every_store import LOG, a_log, a_passed, commit
from worker.store import Outcome, Rescoring, RescoringStore, Store
from worker.store.redis import RedisStore
from worker.store.redis import rescoring as redis_rescoring

NEWER = ReadingSchema((NetVersion("fake", "2", "1" * 64),), SCHEMA.channels)
NEWEST = ReadingSchema((NetVersion("fake", "3", "2" * 64),), SCHEMA.channels)
LAYER = layer_name(NEWER.id, 1)
HARNESSES: dict[str, Callable[[Path], Harness]] = {
    "sqlite": SqliteHarness,
    "redis": RedisHarness,
    "redis without functions": scripted_redis,
}


class AnyStore(Store, RescoringStore):
    """Both promises."""


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    return HARNESSES[request.param](tmp_path)


@pytest.fixture
def store(harness: Harness) -> Iterator[AnyStore]:
    store = harness.open()
    yield store  # type: ignore[misc]
    store.close()


def read_again(log: Sequence[Entry]) -> list[Entry]:
    """The log as the newer net reads it."""
    return [dataclasses.replace(e, values=1 - e.values) if isinstance(e, Point) else e for e in log]


def rescore(
    store: AnyStore,
    taken: Rescoring,
    log: Sequence[Entry],
    begin: int,
    end: int,
    schema: ReadingSchema = NEWER,
    partition: int = 0,
) -> Outcome:
    points = [entry for entry in read_again(log[begin:end]) if isinstance(entry, Point)]
    return store.rescore(
        LOG, partition, taken=taken, previous_offset=begin, next_offset=end, points=points, schema=schema
    )


def newer_points(log: Sequence[Entry], kept: Contents) -> dict[str, list[Packed]]:
    """What the newer net alone would have stored of this log, of people who are still there."""
    return {person: points for person, points in fold(read_again(log)).points.items() if person in kept.people}


A_LOG: list[Entry] = [
    an_opening(keeps_pictures=True),
    a_point(1, picture=b"a face"),
    a_point(2, "bob"),
    a_gap(3),
    a_passed(4, gap=(160_000, 160_001)),
    a_point(5),
    a_point(2, "bob"),  # repeated
    a_point(6, event_time=61_000_000),
    a_progress(7),
]


def test_a_stretch_read_again_lies_beside_the_old_one_and_nothing_else_changes(
    store: AnyStore, harness: Harness
) -> None:
    lease = store.take(LOG, 0)
    commit(store, lease, A_LOG)

    taken = store.take_rescoring(LOG, 0, NEWER)
    assert (taken.next_offset, taken.until, taken.layer) == (0, 9, LAYER)
    assert rescore(store, taken, A_LOG, 0, 4) is Outcome.APPLIED
    assert rescore(store, taken, A_LOG, 4, 9) is Outcome.APPLIED

    found = harness.contents()
    assert found.layers == {LAYER: fold(read_again(A_LOG)).points}
    assert dataclasses.replace(found, layers={}) == fold(A_LOG)
    assert commit(store, lease, [a_point(8)], begin=9) is Outcome.APPLIED  # under the lease from before


def test_faces_that_the_workers_passed_over_are_not_added(store: AnyStore, harness: Harness) -> None:
    commit(store, store.take(LOG, 0), A_LOG)
    log = [*A_LOG[:4], a_point(4), *A_LOG[5:]]  # the newer net can read what was rejected

    rescore(store, store.take_rescoring(LOG, 0, NEWER), log, 0, 9)

    assert harness.contents().layers == {LAYER: fold(read_again(A_LOG)).points}


def test_two_faces_of_a_person_in_one_frame_are_both_read_again(store: AnyStore, harness: Harness) -> None:
    log = [an_opening(), a_point(1, event_time=7), with_face(a_point(2, event_time=7), frame=1)]
    commit(store, store.take(LOG, 0), log)

    rescore(store, store.take_rescoring(LOG, 0, NEWER), log, 0, 3)

    assert harness.contents().layers == {LAYER: fold(read_again(log)).points}


def test_who_is_killed_goes_on_where_it_was_and_twice_is_as_good_as_once(store: AnyStore, harness: Harness) -> None:
    commit(store, store.take(LOG, 0), A_LOG)
    rescore(store, store.take_rescoring(LOG, 0, NEWER), A_LOG, 0, 2)

    second = store.take_rescoring(LOG, 0, NEWER)
    assert second.next_offset == 2
    assert rescore(store, second, A_LOG, 2, 9) is Outcome.APPLIED
    assert rescore(store, second, A_LOG, 2, 9) is Outcome.STALE
    third = store.take_rescoring(LOG, 0, NEWER)
    assert (third.next_offset, third.until) == (9, 9)

    assert harness.contents().layers == {LAYER: fold(read_again(A_LOG)).points}


def test_a_zombie_is_fenced(store: AnyStore, harness: Harness) -> None:
    commit(store, store.take(LOG, 0), A_LOG)
    zombie = store.take_rescoring(LOG, 0, NEWER)
    store.take_rescoring(LOG, 0, NEWER)

    assert rescore(store, zombie, A_LOG, 0, 9) is Outcome.FENCED

    assert harness.contents() == fold(A_LOG)


def test_rescorings_with_several_nets_do_not_fence_each_other_and_the_later_ranks_higher(store: AnyStore) -> None:
    commit(store, store.take(LOG, 0), A_LOG)
    first = store.take_rescoring(LOG, 0, NEWER)
    second = store.take_rescoring(LOG, 0, NEWEST)

    assert (first.layer, second.layer) == (layer_name(NEWER.id, 1), layer_name(NEWEST.id, 2))
    assert rescore(store, first, A_LOG, 0, 9) is Outcome.APPLIED
    assert rescore(store, second, A_LOG, 0, 9, NEWEST) is Outcome.APPLIED
    assert store.take_rescoring(LOG, 0, NEWER).layer == first.layer


def test_nothing_is_read_again_that_the_workers_have_not_applied(store: AnyStore, harness: Harness) -> None:
    lease = store.take(LOG, 0)
    commit(store, lease, A_LOG[:3])
    taken = store.take_rescoring(LOG, 0, NEWER)

    assert taken.until == 3
    assert rescore(store, taken, A_LOG, 0, 4) is Outcome.STALE
    assert rescore(store, taken, A_LOG, 0, 3) is Outcome.APPLIED

    assert store.take_rescoring("log", 1, NEWER).until == 0
    assert harness.contents().layers == {LAYER: fold(read_again(A_LOG[:3])).points}


def test_the_erased_stay_erased_also_in_between(store: AnyStore, harness: Harness) -> None:
    lease = store.take(LOG, 0)
    commit(store, lease, A_LOG)
    taken = store.take_rescoring(LOG, 0, NEWER)
    rescore(store, taken, A_LOG, 0, 3)
    commit(store, lease, [an_erasure("ann")], begin=9)

    assert rescore(store, taken, A_LOG, 3, 9) is Outcome.APPLIED

    found = harness.contents()
    assert found.layers == {LAYER: {"bob": fold(read_again(A_LOG)).points["bob"]}}
    assert dataclasses.replace(found, layers={}) == fold([*A_LOG, an_erasure("ann")])


def test_readings_that_are_flawed_are_refused_as_a_whole(store: AnyStore, harness: Harness) -> None:
    commit(store, store.take(LOG, 0), A_LOG)
    taken = store.take_rescoring(LOG, 0, NEWER)
    log = [*A_LOG[:5], a_point(5, values=(0.5, float("nan"), 0.5))]

    assert rescore(store, taken, log, 0, 6) is Outcome.REFUSED

    assert harness.contents() == fold(A_LOG)


@pytest.fixture
def redis_harness(tmp_path: Path) -> RedisHarness:
    return RedisHarness(tmp_path)


def test_the_points_of_another_log_are_not_read_again(redis_harness: RedisHarness) -> None:
    store = redis_harness.open()
    commit(store, store.take(LOG, 0), A_LOG)
    taken = store.take_rescoring(LOG, 0, NEWER)
    store.take("log-b", 0)

    assert rescore(store, taken, A_LOG, 0, 9) is Outcome.FENCED
    with pytest.raises(LogReplaced, match="followed log log-b to offset 0, this is log log-a"):
        store.take_rescoring(LOG, 0, NEWER)
    store.close()


def test_what_is_read_again_expires_with_its_person(redis_harness: RedisHarness) -> None:
    store = RedisStore(redis_harness.url, retention_s=3600)
    commit(store, store.take(LOG, 0), A_LOG)
    client = redis_harness.client
    client.delete("mien:{0}:person:bob")  # expired
    client.expire("mien:{0}:person:ann", 1000)

    rescore(store, store.take_rescoring(LOG, 0, NEWER), A_LOG, 0, 9)

    lives = {key.decode(): client.ttl(key) for key in client.scan_iter(match=f"*{LAYER}*")}
    assert {key.split(":")[3] for key in lives} == {"ann"}
    assert set(lives.values()) <= {999, 1000}
    assert len(lives) == 4  # two minutes, one slab of each level
    assert client.ttl("mien:{0}:chunks:ann") > 3000
    store.close()


def test_a_worker_that_takes_over_meanwhile_has_the_stored_points_looked_at_again(
    redis_harness: RedisHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = redis_harness.open()
    commit(store, store.take(LOG, 0), A_LOG)
    taken, looks, look = store.take_rescoring(LOG, 0, NEWER), list[object](), redis_rescoring._missing

    def late(*of: object) -> object:
        found = look(*of)  # type: ignore[arg-type]
        if not looks:
            store.take(LOG, 0)
        looks.append(found)
        return found

    monkeypatch.setattr(redis_rescoring, "_missing", late)
    assert rescore(store, taken, A_LOG, 0, 9) is Outcome.APPLIED

    assert len(looks) == 2
    assert redis_harness.contents().layers == {LAYER: fold(read_again(A_LOG)).points}
    store.close()


IN_MEMORY = Path("/dev/shm")


def with_own_people(log: Sequence[Entry]) -> list[Entry]:
    """As ingest names them: nobody appears in two sessions."""
    return [
        structs.replace(entry, person=f"{entry.person}/{entry.session}")
        if isinstance(entry, Erase)
        else with_face(entry, person=f"{entry.face.person}/{entry.session}")
        if isinstance(entry, Point)
        else entry
        for entry in log
    ]


class AnyRescoring(RuleBasedStateMachine):
    """Workers, rescorers, zombies and failovers in any order: a layer is what its net alone would have stored."""

    make_harness: Callable[[Path], Harness]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mien-store-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.harness = type(self).make_harness(self.folder)
        self.store: AnyStore = self.harness.open()  # type: ignore[assignment]
        self.lease = self.store.take(LOG, 0)
        self.position, self.again, self.epoch = 0, 0, 0
        self.taken: list[Rescoring] = []
        self.copies = [(self.harness.copy(self.store), 0, 0, 0)]
        self.log: list[Entry] = []

    @initialize(seed=st.integers(0, 10_000))
    def records_are_published(self, seed: int) -> None:
        self.log = with_own_people(a_log(seed, "cam-0"))
        self.a_rescorer_takes_over()

    @rule(length=st.integers(1, 20))
    def the_workers_go_on(self, length: int) -> None:
        self.lease = self.store.take(LOG, 0)
        assert self.lease.next_offset == self.position
        part = self.log[self.position : self.position + length]
        if part:
            assert commit(self.store, self.lease, part) is Outcome.APPLIED
            self.position += len(part)

    @rule()
    def a_rescorer_takes_over(self) -> None:
        self.taken.append(self.store.take_rescoring(LOG, 0, NEWER))
        self.epoch = self.taken[-1].epoch
        assert (self.taken[-1].next_offset, self.taken[-1].until) == (self.again, self.position)

    @rule(length=st.integers(1, 20))
    def the_rescorer_goes_on(self, length: int) -> None:
        self.offer(-1, self.again, min(length, self.position - self.again))

    @rule(who=st.integers(0, 9), shift=st.integers(-9, 3), length=st.integers(0, 20))
    def anyone_rescores_anything(self, who: int, shift: int, length: int) -> None:
        self.offer(who % len(self.taken), max(0, self.again + shift), length)

    @rule()
    def a_replica_falls_behind(self) -> None:
        self.copies.append((self.harness.copy(self.store), self.position, self.again, self.epoch))

    @rule(which=st.integers(0, 9))
    def a_failover_loses_what_the_replica_has_not_seen(self, which: int) -> None:
        copy, self.position, self.again, self.epoch = self.copies[which % len(self.copies)]
        self.store = self.harness.fail_over(self.store, copy)  # type: ignore[assignment]

    def offer(self, who: int, begin: int, length: int) -> None:
        outcome = rescore(self.store, self.taken[who], self.log, begin, begin + length)
        if self.taken[who].epoch != self.epoch:
            assert outcome is Outcome.FENCED
        elif begin != self.again or begin + length > self.position:
            assert outcome is Outcome.STALE
        else:
            assert outcome is Outcome.APPLIED
            self.again += length

    @invariant()
    def the_layer_is_what_the_newer_net_alone_would_have_stored(self) -> None:
        found, main = self.harness.contents(), fold(self.log[: self.position])
        wanted = newer_points(self.log[: self.again], main)
        assert found.layers == ({LAYER: wanted} if wanted else {})
        assert dataclasses.replace(found, layers={}) == main

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


def machine_over(make_harness: Callable[[Path], Harness]) -> type:
    machine = type("Machine", (AnyRescoring,), {"make_harness": staticmethod(make_harness)})
    case = machine.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
    return case


TestSqliteUnderAnyRescoring = machine_over(SqliteHarness)
TestRedisUnderAnyRescoring = machine_over(RedisHarness)
