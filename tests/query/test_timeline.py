"""Pages against a computation of their own, in plain Python, point by point."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.labels import EXPRESSIONS
from query.store import Reader
from query.timeline import Page, Wanted, read_page
from tests.query.stores import BOTH_NETS, FACE_NET, SECOND, Store, StoreFile, StoreOnRedis, every_frame, shares

STEP = 0.5 / 65_535 + 1e-6  # half a step of the packing, and float32


def page(reader: Reader, begin: int, end: int, every: int | None, limit: int = 10_000, person: str = "p") -> Page:
    with reader.snapshot() as snapshot:
        found = snapshot.person(person)
        session = snapshot.session(found.source, found.session)
        wanted = Wanted(person=person, begin=begin, end=end, every=every, limit=limit)
        return read_page(snapshot, session, wanted)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_buckets_equal_a_mean_point_by_point(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    times = np.unique(data.draw(st.lists(st.integers(0, 150 * SECOND), min_size=1, max_size=60)))
    begin = data.draw(st.integers(-5 * SECOND, 100 * SECOND))
    end = begin + data.draw(st.integers(1, 100 * SECOND))
    every = data.draw(st.sampled_from([40_000, 333_333, SECOND, 7 * SECOND, 60 * SECOND, 3_600 * SECOND]))
    values = shares(len(times), seed=len(times))
    store = StoreFile(tmp_path_factory.mktemp("page") / "store.db")
    store.session(complete_until=150 * SECOND)
    store.person("p", np.array(times, np.int64), values)
    reader = store.reader()

    seen = page(reader, begin, end, every)

    held: dict[int, list[int]] = defaultdict(list)
    for row, time in enumerate(times):
        if begin <= time < end:
            held[int(time - begin) // every].append(row)
    assert len(seen.event_time) == math.ceil((end - begin) / every)
    for bucket, start in enumerate(seen.event_time):
        rows = held.get(bucket, [])
        assert start == begin + bucket * every
        assert seen.n is not None
        assert seen.n[bucket] == len(rows)
        if rows:
            np.testing.assert_allclose(seen.values[bucket], values[rows].mean(axis=0), atol=STEP)
        else:
            assert np.isnan(seen.values[bucket]).all()
    store.close()
    reader.close()


def test_pages_of_points_join_without_loss_or_repetition(store: Store, reader: Reader) -> None:
    times = every_frame(4_000)  # 160 s over three minutes
    store.session(complete_until=160 * SECOND)
    store.person("p", times, shares(4_000))

    begin, seen, pages = 0, list[int](), 0
    while begin is not None:
        part = page(reader, begin, 160 * SECOND, None, limit=700)
        seen += part.event_time.tolist()
        begin, pages = part.next_time, pages + 1

    assert seen == times.tolist()
    assert pages == 6


def test_points_of_one_instant_stay_on_one_page(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", np.array([0, 5, 5, 5, 9], np.int64), shares(5))

    first = page(reader, 0, SECOND, None, limit=2)
    second = page(reader, first.next_time or 0, SECOND, None, limit=2)
    third = page(reader, second.next_time or 0, SECOND, None, limit=2)

    assert [part.event_time.tolist() for part in (first, second, third)] == [[0], [5, 5, 5], [9]]
    assert third.next_time is None


def test_pages_of_buckets_keep_their_alignment(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", every_frame(250), shares(250))

    whole = page(reader, 123_456, 10 * SECOND, 300_000)
    first = page(reader, 123_456, 10 * SECOND, 300_000, limit=10)
    rest = page(reader, first.next_time or 0, 10 * SECOND, 300_000)

    assert whole.event_time.tolist() == first.event_time.tolist() + rest.event_time.tolist()
    assert first.n is not None
    assert rest.n is not None
    assert whole.n is not None
    assert whole.n.tolist() == first.n.tolist() + rest.n.tolist()


def test_points_committed_out_of_order_come_sorted(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", np.array([3, 1, 2], np.int64), shares(3))
    store.person("p", np.array([0], np.int64), shares(1))

    assert page(reader, 0, SECOND, None).event_time.tolist() == [0, 1, 2, 3]


def test_a_new_model_is_named_where_it_begins(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", every_frame(100), shares(100))
    store.person("p", every_frame(50, begin=4 * SECOND), shares(50, 20), schema=BOTH_NETS)

    points = page(reader, 0, 10 * SECOND, None)
    buckets = page(reader, 0, 10 * SECOND, 2 * SECOND)

    spans = {(span.schema.id, span.first, span.last) for span in points.models}
    assert spans == {(FACE_NET.id, 0, 3_960_000), (BOTH_NETS.id, 4_000_000, 5_960_000)}
    assert {(span.schema.id, span.first, span.last) for span in buckets.models} == spans
    smile = [channel.name for channel in points.channels].index("AU12")
    assert np.isnan(points.values[:100, smile]).all()
    assert not np.isnan(points.values[100:, smile]).any()
    assert np.isnan(buckets.values[:, smile]).tolist() == [True, True, False, True, True]
    assert len(points.channels) == len(EXPRESSIONS) + 12


def test_an_empty_bucket_says_why(store: Store, reader: Reader) -> None:
    store.session(complete_until=9 * SECOND, looked_at=175, closed=False)
    store.gap(2 * SECOND, 4 * SECOND, "decode_error")
    store.gap(8_500_000, 12 * SECOND, "source_down")
    store.person("p", every_frame(25), shares(25))
    store.person("p", every_frame(25, begin=6 * SECOND), shares(25))

    why = page(reader, -2 * SECOND, 14 * SECOND, SECOND).why

    assert why == [
        *["outside"] * 2,  # before the first frame
        None,
        "absent",
        *["decode_error"] * 2,
        *["absent"] * 2,
        None,
        "absent",
        "source_down",  # half of it
        *["source_down"] * 3,  # known not to come, though the session is not complete up to there
        *["pending"] * 2,
    ]


def test_behind_the_end_of_a_closed_session_there_is_nothing_to_wait_for(store: Store, reader: Reader) -> None:
    store.session(complete_until=2 * SECOND, looked_at=50, closed=True)
    store.person("p", every_frame(25), shares(25))

    assert page(reader, 0, 4 * SECOND, SECOND).why == [None, "absent", "outside", "outside"]


def test_buckets_shorter_than_a_frame_are_not_called_absent(store: Store, reader: Reader) -> None:
    store.session()  # 25 frames a second
    times = every_frame(50)
    store.person("p", np.delete(times, range(20, 30)), shares(40))  # 0.4 s without the face

    seen = page(reader, 400_000, 1_600_000, 10_000)

    assert seen.why is not None
    away = seen.why[37:80]  # from behind frame 19 (0.76 s) to frame 30 (1.2 s)
    assert set(away) == {"absent"}
    assert set(seen.why[:37]) == {None, "unsampled"}
    assert set(seen.why[80:]) == {None, "unsampled"}


def test_a_frame_in_the_middle_of_a_page_reads_the_same_at_its_edge(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", every_frame(50), shares(50))

    whole = page(reader, 0, SECOND, 10_000).why
    assert whole is not None
    parts = [page(reader, begin, begin + 30_000, 10_000).why or [] for begin in range(0, 990_000, 30_000)]

    assert [reason for part in parts for reason in part] == whole[:99]


def test_gaps_are_cut_to_the_page(store: Store, reader: Reader) -> None:
    store.session()
    store.gap(SECOND, 5 * SECOND)
    store.person("p", every_frame(25), shares(25))

    gaps = page(reader, 2 * SECOND, 8 * SECOND, SECOND, limit=2).gaps

    assert [(gap.begin, gap.end) for gap in gaps] == [(2 * SECOND, 4 * SECOND)]


def test_gaps_between_cut_points_are_told(store: Store, reader: Reader) -> None:
    store.session()
    store.gap(SECOND, 2 * SECOND)
    store.person("p", every_frame(25), shares(25))
    store.person("p", every_frame(25, begin=2 * SECOND), shares(25))

    first = page(reader, 0, 10 * SECOND, None, limit=25)

    assert first.next_time == 2 * SECOND
    assert [(gap.begin, gap.end) for gap in first.gaps] == [(SECOND, 2 * SECOND)]


@pytest.mark.parametrize(
    ("begin", "every"),
    [
        (0, 60 * SECOND),
        (-120 * SECOND, 60 * SECOND),
        (60 * SECOND, 3_600 * SECOND),
        (0, 20 * SECOND),
        (70 * SECOND, 10 * SECOND),
        (SECOND, 60 * SECOND),  # no kept sums fit: from the points
        (0, 15 * SECOND),
    ],
)
def test_both_stores_tell_the_same_to_the_last_bit(
    file_store: StoreFile, redis_store: StoreOnRedis, begin: int, every: int
) -> None:
    rng = np.random.default_rng(7)
    pages = []
    for store in (file_store, redis_store):
        store.session(complete_until=8_000 * SECOND, looked_at=40_000)
        store.gap(500 * SECOND, 700 * SECOND)
    for number, (low, high, schema) in enumerate(
        [(-200, 400, FACE_NET), (700, 4_000, FACE_NET), (3_000, 7_777, BOTH_NETS), (7_700, 7_777, FACE_NET)]
    ):
        times = np.sort(rng.integers(low * SECOND, high * SECOND, 700))
        values = shares(700, len(schema.channels), seed=number)
        for store in (file_store, redis_store):
            store.person("p", times, values, schema=schema)
    for store in (file_store, redis_store):
        reader = store.reader()
        pages += [page(reader, begin, 7_654_321_000, every, limit) for limit in (5, 10_000)]
        reader.close()

    for ours, theirs in zip(pages[:2], pages[2:], strict=True):
        for field in dataclasses.fields(Page):
            one, other = getattr(ours, field.name), getattr(theirs, field.name)
            if field.name == "models":
                one, other = ({(span.schema.id, span.first, span.last) for span in each} for each in (one, other))
            np.testing.assert_array_equal(one, other, err_msg=field.name, strict=isinstance(one, np.ndarray))


def test_a_day_by_the_minute_is_read_from_sums(redis_store: StoreOnRedis, round_trips: Callable[[], int]) -> None:
    redis_store.session(complete_until=86_400 * SECOND)
    redis_store.person("p", every_frame(86_400, fps=1), shares(86_400))
    reader = redis_store.reader()
    round_trips()

    seen = page(reader, 0, 86_400 * SECOND, 60 * SECOND)

    assert seen.n is not None
    assert seen.n.tolist() == [60] * 1_440
    assert round_trips() <= 16  # the points alone would take 23
    reader.close()
