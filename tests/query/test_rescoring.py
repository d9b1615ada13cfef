"""A stretch that was read again is told as if the newer net alone had read it, over both stores."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from contract.readings import Entry, NetVersion, Point, ReadingSchema
from contract.records import Progress
from query.store.choose import reader_of
from tests.query.conftest import Get, asking
from tests.query.stores import BOTH_NETS, FACE_NET, NOON, SECOND, shares
from tests.query.test_seam import Writer, file, open_store, opening, point, where
from worker.store import Outcome, RescoringStore

__all__ = ["file", "where"]
NEWER = ReadingSchema((NetVersion("fer-test", "3.0", "99" * 32),), FACE_NET.channels)
TIMELINE = "/v1/people/door.s1.1/timeline"
Ask = Callable[[Path | str], Get]
PATHS = (
    TIMELINE,
    f"{TIMELINE}?limit=77",
    f"{TIMELINE}?every=1m",
    f"{TIMELINE}?every=10s&from=30&to=200",
    f"{TIMELINE}?every=20m",
    f"{TIMELINE}?every=7s&format=csv",
    "/v1/people",
    "/v1/people/door.s1.1",
    "/v1/sources",
)


def a_log(minutes: int = 5) -> list[Entry]:
    """Two readings a second of one person, told all in all."""
    count = 120 * minutes
    points = [point(n, n * 0.5, values=shares(1, seed=n)[0]) for n in range(1, count)]
    end = Progress(
        source="door",
        session="s1",
        sequence=count,
        event_time=NOON + minutes * 60 * SECOND,
        frames=count,
        looked_at=count,
        closed=True,
    )
    return [opening(), *points, end]


def read_again(log: Sequence[Entry], seed: int = 9_999) -> list[Entry]:
    return [
        dataclasses.replace(entry, values=shares(1, seed=seed + entry.sequence)[0], picture=entry.picture)
        if isinstance(entry, Point)
        else entry
        for entry in log
    ]


def rescore(
    store: RescoringStore, log: Sequence[Entry], schema: ReadingSchema, begin: int = 0, end: int | None = None
) -> None:
    taken = store.take_rescoring("log", 0, schema)
    end = len(log) if end is None else end
    points = [entry for entry in log[begin:end] if isinstance(entry, Point)]
    outcome = store.rescore(
        "log", 0, taken=taken, previous_offset=taken.next_offset, next_offset=end, points=points, schema=schema
    )
    assert outcome is Outcome.APPLIED


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Asks the service over a store."""
    with ExitStack() as stack:

        def asked(where: Path | str) -> Get:
            return asking(stack.enter_context(closing(reader_of(where))))

        yield asked


def counted(get: Get, path: str) -> int:
    return sum(get(path).json()["n"])


@pytest.mark.parametrize("old", [FACE_NET, NEWER], ids=["an older net before", "the same net before"])
def test_a_stretch_read_again_is_told_as_if_the_newer_net_alone_had_read_it(
    where: Path | str, tmp_path: Path, ask: Ask, old: ReadingSchema
) -> None:
    log = a_log()
    alone, store = open_store(tmp_path / "alone.db"), open_store(where)
    Writer(alone)(*read_again(log), schema=NEWER)
    Writer(store)(*log, schema=old)

    rescore(store, read_again(log), NEWER)

    ours, theirs = ask(where), ask(tmp_path / "alone.db")
    for path in PATHS:
        assert ours(path).content == theirs(path).content, path
    alone.close()
    store.close()


def test_half_way_every_face_counts_once_by_the_net_that_says_most_of_it(
    where: Path | str, tmp_path: Path, ask: Ask
) -> None:
    log, half = a_log(), 217  # in the middle of a bucket of any length
    begun = len(log) - half
    mixed, store = open_store(tmp_path / "mixed.db"), open_store(where)
    writer = Writer(mixed)
    writer(*read_again(log)[:half], schema=NEWER)
    writer(*log[half:], schema=FACE_NET)
    Writer(store)(*log)

    rescore(store, read_again(log), NEWER, end=half)

    ours, theirs = ask(where), ask(tmp_path / "mixed.db")
    for path in PATHS:
        assert ours(path).content == theirs(path).content, path
    assert counted(ours, f"{TIMELINE}?every=10s&from=0&to=300") == half - 1 + begun - 1
    mixed.close()
    store.close()


def test_the_later_of_two_rescorings_counts_where_it_has_been(where: Path | str, tmp_path: Path, ask: Ask) -> None:
    log, newer, newest = a_log(), read_again(a_log()), read_again(a_log(), 55_555)
    alone, store = open_store(tmp_path / "alone.db"), open_store(where)
    writer = Writer(alone)
    both = dataclasses.replace
    wide = [
        both(e, values=np.tile(e.values, 3)[: len(BOTH_NETS.channels)]) if isinstance(e, Point) else e for e in newest
    ]
    for begin, end, told, schema in ((0, 97, wide, BOTH_NETS), (97, 301, newer, NEWER), (301, None, log, FACE_NET)):
        writer(*told[begin:end], schema=schema)
    Writer(store)(*log)

    rescore(store, newer, NEWER, end=200)
    rescore(store, wide, BOTH_NETS, end=97)
    rescore(store, newer, NEWER, begin=200, end=301)

    ours, theirs = ask(where), ask(tmp_path / "alone.db")
    for path in PATHS:
        seen, wanted = ours(path).json() if "csv" not in path else {}, theirs(path).json() if "csv" not in path else {}
        assert without_order(seen) == without_order(wanted), path
    alone.close()
    store.close()


def without_order(reply: dict[str, object]) -> dict[str, object]:
    return {name: sorted(map(str, part)) if name == "models" else part for name, part in reply.items()}  # type: ignore[call-overload]


def test_a_bucket_whose_workers_changed_the_net_is_told_by_the_rescoring_alone(where: Path | str, ask: Ask) -> None:
    log = a_log()
    store = open_store(where)
    commit = Writer(store)
    commit(*log[:217], schema=FACE_NET)
    commit(*log[217:], schema=NEWER)

    assert counted(ask(where), f"{TIMELINE}?every=1m") == len(log) - 2
    rescore(store, read_again(log), NEWER)

    reply = ask(where)(f"{TIMELINE}?every=1m").json()
    assert sum(reply["n"]) == len(log) - 2
    assert [model["id"] for model in reply["models"]] == [NEWER.id]
    store.close()


def test_a_change_of_net_within_a_bucket_is_a_new_epoch_and_keeps_what_is_stored_apart(where: Path | str) -> None:
    log, change = a_log(), 217
    store = open_store(where)
    before = Writer(store)
    before(*log[:change], schema=FACE_NET)
    after = Writer(store)
    assert after.epoch > before.epoch
    after.offset = change
    after(*log[change:], schema=NEWER)

    begin, end, ids = NOON, NOON + 300 * SECOND, {FACE_NET.id: range(1, change), NEWER.id: range(change, 600)}
    with closing(reader_of(where)) as reader, reader.snapshot() as snapshot:
        for _, schema, points in snapshot.points("door.s1.1", begin, end):
            assert set(points.frame) <= set(ids[schema])
            wanted = np.concatenate([shares(1, seed=frame) for frame in points.frame])
            np.testing.assert_allclose(points.values, wanted, atol=0.5 / 65_535 + 1e-6)  # packing, float32
        for schema, sums in snapshot.buckets("door.s1.1", begin, end, 60) or ():
            for start, values in zip(sums.begin, sums.values, strict=True):
                frames = [n for n in ids[schema] if 0 <= NOON + n * SECOND // 2 - start < 60 * SECOND]
                wanted = np.concatenate([shares(1, seed=frame) for frame in frames]).sum(axis=0)
                np.testing.assert_allclose(values, wanted, atol=120 * 0.5 / 65_535)  # of at most 120 packed points
    store.close()


def test_workers_go_on_beside_a_rescoring(where: Path | str, ask: Ask) -> None:
    log = a_log()
    store = open_store(where)
    commit = Writer(store)
    commit(*log[:100])

    rescore(store, read_again(log), NEWER, end=100)
    commit(*log[100:])  # under the lease from before
    rescore(store, read_again(log), NEWER, begin=100)

    reply = ask(where)(f"{TIMELINE}?every=10s&to=300").json()
    assert sum(reply["n"]) == len(log) - 2
    assert [model["id"] for model in reply["models"]] == [NEWER.id]
    store.close()
