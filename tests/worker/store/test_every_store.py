"""What every store promises the worker ; one suite for all of them. A new store joins by its harness."""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from contract.labels import GapReason
from contract.readings import Entry, Skipped, SkippedReason
from tests.worker.examples import (
    SCHEMA,
    a_face,
    a_gap,
    a_left_out,
    a_point,
    a_progress,
    an_erasure,
    an_opening,
    with_face,
)
from tests.worker.store.harness import Contents, Harness, RedisHarness, SqliteHarness, fold, scripted_redis
from worker.store import Lease, Outcome, Store

HARNESSES: dict[str, Callable[[Path], Harness]] = {
    "sqlite": SqliteHarness,
    "redis": RedisHarness,
    "redis without functions": scripted_redis,
}
LOG = "log-a"


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    return HARNESSES[request.param](tmp_path)


@pytest.fixture
def store(harness: Harness) -> Iterator[Store]:
    store = harness.open()
    yield store
    store.close()


def commit(
    store: Store, lease: Lease, entries: Sequence[Entry], begin: int | None = None, partition: int = 0
) -> Outcome:
    begin = lease.next_offset if begin is None else begin
    return store.commit(
        LOG,
        partition,
        epoch=lease.epoch,
        previous_offset=begin,
        next_offset=begin + len(entries),
        entries=entries,
        schema=SCHEMA,
    )


def test_a_partition_never_seen_begins_at_zero_and_its_epoch_rises_with_every_takeover(store: Store) -> None:
    first, second, other = store.take(LOG, 0), store.take(LOG, 0), store.take("log-b", 0)

    assert (first.next_offset, second.next_offset, other.next_offset) == (0, 0, 0)
    assert second.epoch > first.epoch


def test_what_was_applied_is_the_fold_of_the_log(store: Store, harness: Harness) -> None:
    log = [an_opening(), a_point(1), a_point(2, "bob"), a_gap(3), a_point(4), a_progress(5, closed=True)]
    lease = store.take(LOG, 0)

    assert commit(store, lease, log[:3]) is Outcome.APPLIED
    assert commit(store, lease, log[3:], begin=3) is Outcome.APPLIED

    assert harness.contents() == fold(log)
    assert store.take(LOG, 0).next_offset == 6


def test_a_repeated_commit_is_stale_and_changes_nothing(store: Store, harness: Harness) -> None:
    log = [an_opening(), a_point(1)]
    lease = store.take(LOG, 0)
    commit(store, lease, log)

    assert commit(store, lease, log) is Outcome.STALE

    assert harness.contents() == fold(log)


def test_a_commit_behind_a_hole_is_stale(store: Store, harness: Harness) -> None:
    lease = store.take(LOG, 0)

    assert commit(store, lease, [a_point(1)], begin=1) is Outcome.STALE

    assert harness.contents() == Contents()


def test_a_zombie_is_fenced_even_with_the_right_offset(store: Store, harness: Harness) -> None:
    zombie = store.take(LOG, 0)
    store.take(LOG, 0)

    assert commit(store, zombie, [an_opening()]) is Outcome.FENCED

    assert harness.contents() == Contents()


def test_a_partition_that_nobody_took_is_fenced(store: Store) -> None:
    assert commit(store, Lease(1, 0), [an_opening()]) is Outcome.FENCED


def a_passed(
    sequence: int | None = None,
    reason: SkippedReason = SkippedReason.REJECTED,
    gap: tuple[int, int] | None = None,
    source: str = "cam",
    session: str = "s1",
) -> Skipped:
    if sequence is None:
        return Skipped(reason=reason)
    return Skipped(reason=reason, source=source, session=session, sequence=sequence, gap=gap)


FLAWED = {
    "an empty stretch": [],
    "no entry at all": [a_point(1), "a point"],
    "a face that nobody read": [a_face(1)],
    "two channels instead of three": [a_point(1, values=(0.5, 0.5))],
    "a value that is no number": [a_point(1, values=(0.5, float("nan"), 0.5))],
    "whole numbers for values": [dataclasses.replace(a_point(1), values=np.array([0, 1, 0]))],
    "a person without a name": [a_point(1, person="")],
    "a source that is no text": [with_face(a_point(1), source=7)],
    "a sequence below zero": [a_point(-1)],
    "an event time that is no integer": [with_face(a_point(1), event_time=0.5)],
    "an event time beyond 64 bits": [with_face(a_point(1), event_time=2**63)],
    "a frame number beyond 32 bits": [with_face(a_point(1), frame=2**32)],
    "a box that is no number": [with_face(a_point(1), box_xywh=(0.0, float("inf"), 1.0, 1.0))],
    "a box of three": [with_face(a_point(1), box_xywh=(0.0, 1.0, 1.0))],
    "a picture that is text": [dataclasses.replace(a_point(1), picture="jpeg")],
    "a gap that ends before it begins": [structs.replace(a_gap(1), end=0)],
    "an erasure of nobody": [an_erasure(person="")],
    "progress without a time": [structs.replace(a_progress(1), event_time=None)],
    "half a letter in a name": [a_point(1, person="\ud800")],
    "passed over for no known reason": [Skipped(reason="bored")],  # type: ignore[arg-type]
    "passed over without a sequence": [dataclasses.replace(a_passed(1), sequence=None)],
    "a gap of nobody": [dataclasses.replace(a_passed(), gap=(0, 1))],
    "a gap behind a passed one that ends before it begins": [a_passed(1, gap=(1, 0))],
    "an opening with an infinite rate": [structs.replace(an_opening(), fps=float("inf"))],
}


@pytest.mark.parametrize("flawed", FLAWED.values(), ids=FLAWED)
def test_a_flawed_batch_is_refused_as_a_whole(store: Store, harness: Harness, flawed: list[Entry]) -> None:
    lease = store.take(LOG, 0)
    commit(store, lease, [an_opening()])
    sound = [a_point(1, "bob"), a_gap(2)] if flawed else []

    assert commit(store, lease, [*sound, *flawed], begin=1) is Outcome.REFUSED

    assert harness.contents() == fold([an_opening()])
    assert commit(store, lease, [a_point(1)], begin=1) is Outcome.APPLIED


def test_offsets_and_entries_must_agree_in_number(store: Store, harness: Harness) -> None:
    lease = store.take(LOG, 0)

    outcome = store.commit(
        LOG, 0, epoch=lease.epoch, previous_offset=0, next_offset=3, entries=[an_opening(), a_point(1)], schema=SCHEMA
    )

    assert outcome is Outcome.REFUSED
    assert harness.contents() == Contents()


def test_facts_repeated_in_another_log_are_passed_over(store: Store, harness: Harness) -> None:
    log = [an_opening(), a_point(1), a_gap(2)]
    commit(store, store.take(LOG, 0), log)
    lease = store.take("log-b", 0)

    outcome = store.commit(
        "log-b", 0, epoch=lease.epoch, previous_offset=0, next_offset=4, entries=[*log, a_point(3)], schema=SCHEMA
    )

    assert outcome is Outcome.APPLIED
    assert harness.contents() == fold([*log, a_point(3)])


def test_what_is_passed_over_is_counted_marked_and_a_gap(store: Store, harness: Harness) -> None:
    shed = SkippedReason.SHED
    log = [an_opening(), a_passed(), a_passed(1, gap=(40, 90)), a_passed(2, shed, gap=(100, 200)), a_passed(3, shed)]
    log += [a_point(2), a_passed(3), a_point(4)]  # repeats count for nothing
    lease = store.take(LOG, 0)

    commit(store, lease, log[:4])
    commit(store, lease, log[4:], begin=4)

    assert harness.contents() == fold(log)
    assert store.skipped(LOG, 0) == {SkippedReason.REJECTED: 2, SkippedReason.SHED: 2}
    assert store.skipped(LOG, 1) == store.skipped("log-b", 0) == {SkippedReason.REJECTED: 0, SkippedReason.SHED: 0}
    assert harness.contents().gaps == {
        ("cam", "s1", 1, 40, 90, "rejected", 0),
        ("cam", "s1", 2, 100, 200, "dropped", 0),
    }
    assert store.high_water("cam", "s1") == 4


def test_faces_that_were_left_out_are_counted_with_their_gap(store: Store, harness: Harness) -> None:
    log = [an_opening(), a_point(1), a_left_out(2), a_gap(3)]

    commit(store, store.take(LOG, 0), log)

    assert harness.contents() == fold(log)
    assert {gap[-2:] for gap in harness.contents().gaps} == {("low_quality", 3), ("decode_error", 0)}


def test_an_interruption_of_a_session_that_nobody_opened_is_none(harness: Harness, store: Store) -> None:
    gap = structs.replace(a_gap(1), reason=GapReason.INTERRUPTED, frames=9, looked_at=8)
    lease = store.take(LOG, 1)

    assert commit(store, lease, [gap], 0, 1) is Outcome.APPLIED

    assert harness.contents() == fold([gap])


def test_the_interruptions_of_a_session_are_known(store: Store) -> None:
    gaps = [structs.replace(a_gap(n), reason=GapReason.INTERRUPTED) for n in (1, 12, 3)]
    gaps.append(structs.replace(a_gap(20), reason=GapReason.INTERRUPTED, frames=7, looked_at=7))  # takes no number
    log = [an_opening(), gaps[0], a_gap(2), gaps[2], a_progress(4, closed=True), gaps[1]]

    commit(store, store.take(LOG, 0), log)

    assert store.interruptions("cam", "s1") == (1, 3, 12)
    assert store.interruptions("cam", "s2") == ()
    assert store.is_closed("cam", "s1")
    assert not store.is_closed("cam", "s2")


def test_a_name_cannot_reach_what_belongs_to_another(store: Store, harness: Harness) -> None:
    names = ["a:b", "a%3Ab", "a%253Ab", "a", "a:", "}:{1}:position", "{1}", "a\nb", "a b", "é✓", "\x00", "*"]
    log: list[Entry] = []
    for name in names:
        log += [an_opening("cam", name), a_point(1, name, session=name), a_gap(2, session=name)]
    log += [an_opening("cam", "s"), a_point(1, "s:1", session="s"), an_erasure("a"), an_erasure("*")]

    assert commit(store, store.take(LOG, 0), log) is Outcome.APPLIED

    found = harness.contents()
    assert found == fold(log)
    assert set(found.people) == {*names, "s:1"} - {"a", "*"}


def test_the_high_water_mark_says_where_a_session_goes_on(store: Store) -> None:
    commit(store, store.take(LOG, 0), [an_opening(), a_point(1), a_point(2)])

    assert store.high_water("cam", "s1") == 2
    assert store.high_water("cam", "s2") is None


def test_the_erased_are_gone_and_stay_gone_when_replayed(store: Store, harness: Harness) -> None:
    log = [an_opening(), a_point(1), a_point(2, "bob"), an_erasure("ann"), a_point(3, "ann"), a_point(4, "bob")]
    log += [a_point(5, "ann")]
    lease = store.take(LOG, 0)

    commit(store, lease, log[:2])
    commit(store, lease, log[2:6], begin=2)
    commit(store, lease, log[6:], begin=6)

    found = harness.contents()
    assert found == fold(log)
    assert set(found.people) == set(found.points) == {"bob"}
    assert found.erased == {"ann"}


def test_erasing_does_not_depend_on_the_sequence_and_opens_no_session(store: Store, harness: Harness) -> None:
    log = [an_opening(), a_point(1), an_erasure("ann", sequence=0, session="s1")]

    commit(store, store.take(LOG, 0), log)

    assert harness.contents().people == {}
    assert store.high_water("cam", "s1") == 1


@pytest.mark.parametrize("keeps", [True, False])
def test_the_best_picture_is_kept_only_where_the_source_keeps_pictures(
    store: Store, harness: Harness, keeps: bool
) -> None:
    offered = [(0.4, b"fair"), (0.9, b"best"), (0.6, b"good"), (0.9, b"as good"), (0.99, None)]
    points = [a_point(i, quality=quality, picture=body) for i, (quality, body) in enumerate(offered, 1)]
    lease = store.take(LOG, 0)

    commit(store, lease, [an_opening(keeps_pictures=keeps), *points[:2]])
    commit(store, lease, points[2:], begin=3)

    assert harness.contents().people["ann"]["picture"] == (b"best" if keeps else None)
    assert store.keeps_pictures("cam", "s1") is keeps
    assert store.keeps_pictures("cam", "never seen") is False


def test_of_pictures_as_good_as_each_other_the_first_of_the_log_is_kept(store: Store, harness: Harness) -> None:
    minute = 60_000_000
    log = [
        an_opening(keeps_pictures=True),
        an_opening(session="s2"),
        a_point(1, event_time=0, quality=0.2, picture=b"worse"),
        a_point(2, event_time=minute, quality=0.6, picture=b"first"),
        a_point(3, event_time=1, quality=0.6, picture=b"earlier, said later"),
        a_point(1, session="s2", event_time=2, quality=0.9, picture=b"not to be kept"),
    ]

    commit(store, store.take(LOG, 0), log)

    assert harness.contents() == fold(log)
    assert harness.contents().people["ann"]["picture"] == b"first"


def test_points_of_many_minutes_also_before_the_epoch_keep_their_order(store: Store, harness: Harness) -> None:
    times = [-61_000_000, -1, 0, 59_999_999, 60_000_000, 30_000_000]
    log = [an_opening(), *(a_point(i, event_time=time) for i, time in enumerate(times, 1))]

    commit(store, store.take(LOG, 0), log)

    assert harness.contents() == fold(log)


def test_a_long_chunk_is_the_fold_however_it_was_cut(store: Store, harness: Harness) -> None:
    log = [an_opening(), *(a_point(i, "ann" if i % 3 else "bob") for i in range(1, 600))]
    lease, at, lengths = store.take(LOG, 0), 0, iter(np.random.default_rng(3).integers(1, 120, 600))

    while at < len(log):
        part = log[at : at + next(lengths)]
        assert commit(store, lease, part, begin=at) is Outcome.APPLIED
        at += len(part)

    assert harness.contents() == fold(log)


IN_MEMORY = Path("/dev/shm")  # opening and closing a thousand times would wait for a real disk
PARTITIONS = (0, 1)
A_PARTITION = st.sampled_from(PARTITIONS)


KINDS = ("point",) * 6 + ("gap", "progress", "erasure", "passed", "unreadable", "interruption")
STEPS = (0, 0, 0, 0, 0, 1, -1, -4)  # mostly the next sequence; a hole; repeats


def a_log(seed: int, source: str, length: int = 60) -> list[Entry]:
    """Anything a log may hold: repeats, holes, two sessions side by side, erasures of people who go on appearing."""
    rng, heads, log = np.random.default_rng(seed), {"s1": 0, "s2": 0}, list[Entry]()
    while len(log) < length:
        session = str(rng.choice(list(heads)))
        sequence = max(0, heads[session] + int(rng.choice(STEPS)))
        heads[session] = max(heads[session], sequence + 1)
        log.append(an_entry(rng, source, session, sequence))
    return log


def an_entry(rng: np.random.Generator, source: str, session: str, sequence: int) -> Entry:
    person = f"{source}/{sequence // 20}/{rng.integers(2)}"
    if sequence == 0:
        return an_opening(source, session, keeps_pictures=bool(rng.integers(3)))
    match rng.choice(KINDS):
        case "gap":
            return a_gap(sequence, source, session)
        case "interruption":
            begin = int(rng.integers(0, 40)) * 40_000
            gap = structs.replace(a_gap(sequence, source, session), reason=GapReason.INTERRUPTED, frames=9, looked_at=8)
            return structs.replace(gap, begin=begin, end=begin + 7)
        case "progress":
            return a_progress(sequence, source, session, closed=bool(rng.integers(2)))
        case "erasure":
            return an_erasure(person, sequence, source, session)
        case "passed":
            span = (sequence, sequence + 7) if rng.integers(2) else None
            return a_passed(sequence, SkippedReason.SHED, span, source, session)
        case "unreadable":
            return a_passed()
    return a_point(
        sequence,
        person,
        source,
        session,
        event_time=int(rng.choice([-5, 0, 59_999_999, 60_000_000, 130_000_000])),
        quality=float(rng.choice([0.2, 0.4])),
        values=tuple(rng.choice([0.0, 0.25, 0.75, 1.0], 3)),
        picture=[None, b"one", b"two"][rng.integers(3)],
    )


class AnyInterleaving(RuleBasedStateMachine):
    """Whoever commits what, in any order, however often, through failovers: the store is the fold of each log."""

    make_harness: Callable[[Path], Harness]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mien-store-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.harness = type(self).make_harness(self.folder)
        self.store = self.harness.open()
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.leases = {partition: [self.store.take(LOG, partition)] for partition in PARTITIONS}
        self.epoch = {partition: leases[0].epoch for partition, leases in self.leases.items()}
        self.copies = [(self.harness.copy(self.store), dict(self.position), dict(self.epoch))]
        self.log: dict[int, list[Entry]] = {}

    @initialize(seed=st.integers(0, 10_000))
    def records_are_published(self, seed: int) -> None:
        self.log = {partition: a_log(seed + partition, f"cam-{partition}") for partition in PARTITIONS}

    @rule(partition=A_PARTITION)
    def a_worker_takes_over(self, partition: int) -> None:
        lease = self.store.take(LOG, partition)
        assert lease.next_offset == self.position[partition]
        assert lease.epoch > self.epoch[partition]
        self.leases[partition].append(lease)
        self.epoch[partition] = lease.epoch

    @rule(partition=A_PARTITION, length=st.integers(1, 12))
    def the_answer_to_a_commit_is_lost_and_it_is_repeated(self, partition: int, length: int) -> None:
        begin = self.position[partition]
        self.offer(partition, -1, begin, length)
        self.offer(partition, -1, begin, length)

    @rule()
    def a_replica_falls_behind(self) -> None:
        self.copies.append((self.harness.copy(self.store), dict(self.position), dict(self.epoch)))

    @rule(which=st.integers(0, 9))
    def a_failover_loses_what_the_replica_has_not_seen(self, which: int) -> None:
        copy, position, epoch = self.copies[which % len(self.copies)]
        self.store = self.harness.fail_over(self.store, copy)
        self.position, self.epoch = dict(position), dict(epoch)

    @rule(partition=A_PARTITION, length=st.integers(1, 12))
    def the_owner_commits_what_is_next(self, partition: int, length: int) -> None:
        self.offer(partition, -1, self.position[partition], length)

    @rule(partition=A_PARTITION, shift=st.integers(-15, 5), length=st.integers(0, 20))
    def the_owner_commits_something_else(self, partition: int, shift: int, length: int) -> None:
        self.offer(partition, -1, self.position[partition] + shift, length)

    @rule(partition=A_PARTITION, who=st.integers(0, 9), shift=st.integers(-3, 3), length=st.integers(0, 20))
    def any_worker_commits_anything(self, partition: int, who: int, shift: int, length: int) -> None:
        self.offer(partition, who % len(self.leases[partition]), self.position[partition] + shift, length)

    @rule(partition=A_PARTITION, flawed=st.sampled_from(list(FLAWED.values())))
    def the_owner_commits_a_flawed_batch(self, partition: int, flawed: list[Entry]) -> None:
        lease, begin = Lease(self.epoch[partition], 0), self.position[partition]
        sound = self.log[partition][begin : begin + 3] if flawed else []
        assert commit(self.store, lease, [*sound, *flawed], begin, partition) is Outcome.REFUSED

    @rule()
    def the_store_is_opened_again(self) -> None:
        self.store.close()
        self.store = self.harness.open()

    def offer(self, partition: int, who: int, begin: int, length: int) -> None:
        begin = min(max(0, begin), len(self.log[partition]))
        part, lease = self.log[partition][begin : begin + length], self.leases[partition][who]
        outcome = commit(self.store, lease, part, begin, partition)
        if lease.epoch != self.epoch[partition]:
            assert outcome is Outcome.FENCED
        elif begin != self.position[partition]:
            assert outcome is Outcome.STALE
        elif not part:
            assert outcome is Outcome.REFUSED
        else:
            assert outcome is Outcome.APPLIED
            self.position[partition] = begin + len(part)

    @invariant()
    def the_store_is_the_fold_of_its_logs(self) -> None:
        applied = [entry for partition in PARTITIONS for entry in self.log[partition][: self.position[partition]]]
        assert self.harness.contents() == fold(applied)
        for partition in PARTITIONS:
            assert self.harness.position(LOG, partition) == self.position[partition]

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


def machine_over(make_harness: Callable[[Path], Harness]) -> type:
    machine = type("Machine", (AnyInterleaving,), {"make_harness": staticmethod(make_harness)})
    case = machine.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
    return case


TestSqliteUnderAnyInterleaving = machine_over(SqliteHarness)
TestRedisUnderAnyInterleaving = machine_over(RedisHarness)
