"""What the worker's stores write is what the query layer tells: the two sides of each layout together."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.labels import EXPRESSIONS, GapReason
from contract.readings import Entry, Point, ReadingSchema, Skipped, SkippedReason
from contract.records import Erase, Face, Gap, Progress, SessionOpened
from query.store.choose import reader_of
from tests.query.conftest import asking
from tests.query.stores import BOTH_NETS, FACE_NET, JPEG, NOON, SECOND, shares
from worker.store import Outcome, Store
from worker.store.redis import RedisStore
from worker.store.sqlite import SqliteStore


def opening() -> SessionOpened:
    return SessionOpened(
        source="door",
        session="s1",
        sequence=0,
        uri="rtsp://door",
        event_time=NOON,
        dated=True,
        size_wh=(640, 480),
        fps=25.0,
        sample_hz=None,
        keeps_pictures=True,
    )


def point(sequence: int, second: float, person: str = "door.s1.1", values: NDArray[np.float32] | None = None) -> Point:
    return Point(
        Face(
            source="door",
            session="s1",
            sequence=sequence,
            event_time=NOON + round(second * SECOND),
            frame=sequence,
            person=person,
            box_xywh=(1, 2, 3, 4),
            track=0,
            quality=0.5,
            sharpness=0.5,
            yaw_deg=0,
            pitch_deg=0,
            roll_deg=0,
            score=0.9,
            crop=b"",
        ),
        values=shares(1, seed=sequence)[0] if values is None else values,
        picture=JPEG if sequence == 1 else None,
    )


class Writer:
    """A worker's side of a store: entries one behind the other, in one partition."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.epoch = store.take("log", 0).epoch
        self.offset = 0

    def __call__(self, *entries: Entry, schema: ReadingSchema = FACE_NET) -> None:
        outcome = self.store.commit(
            "log",
            0,
            epoch=self.epoch,
            previous_offset=self.offset,
            next_offset=self.offset + len(entries),
            entries=entries,
            schema=schema,
        )
        assert outcome is Outcome.APPLIED
        self.offset += len(entries)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture(params=["file", "fresh_redis"])
def where(request: pytest.FixtureRequest) -> Path | str:
    """A place for a store of each kind."""
    found: Path | str = request.getfixturevalue(request.param)
    return found


def open_store(where: Path | str) -> Store:
    return SqliteStore(where) if isinstance(where, Path) else RedisStore(where)


def test_what_a_worker_commits_is_told_while_it_works(where: Path | str) -> None:
    store = open_store(where)
    reader = reader_of(where)
    get = asking(reader)
    commit = Writer(store)

    progress = {"source": "door", "session": "s1"}
    assert get("/v1/sources").json() == {"sources": []}

    commit(opening(), *(point(number, number * 0.04) for number in range(1, 51)))
    assert get("/v1/people/door.s1.1").json()["points"] == 50
    assert get("/v1/people/door.s1.1/picture").content == JPEG

    commit(
        Gap(**progress, sequence=51, begin=NOON + 3 * SECOND, end=NOON + 4 * SECOND, reason=GapReason.SOURCE_DOWN),
        *(point(number, 58 + number * 0.04) for number in range(52, 152)),  # over the end of a minute
        Progress(**progress, sequence=152, event_time=NOON + 65 * SECOND, frames=1_600, looked_at=1_600, closed=True),
    )
    reply = get("/v1/people/door.s1.1/timeline").json()
    told = np.array([reply["expressions"][name] for name in EXPRESSIONS]).T
    wanted = np.concatenate([shares(1, seed=number) for number in (*range(1, 51), *range(52, 152))])
    np.testing.assert_allclose(told, wanted, atol=0.5 / 65_535 + 0.5e-5 + 1e-6)  # packing, five decimals, float32
    assert reply["closed"]
    why = get("/v1/people/door.s1.1/timeline?every=1s&from=2&to=6").json()["why"]
    assert why == [None, "source_down", "absent", "absent"]

    commit(Erase(source="door", session="erase", sequence=0, person="door.s1.1"))
    assert get("/v1/people/door.s1.1").status_code == 404
    assert get("/v1/people").json()["people"] == []
    store.close()
    assert get("/v1/sources").status_code == 200
    reader.close()


def entries_of_a_day() -> Iterator[tuple[ReadingSchema, Sequence[Entry]]]:
    """Batches of a camera whose net changes, with every kind of entry and points out of order."""
    rng = np.random.default_rng(5)
    place = {"source": "door", "session": "s1"}
    yield FACE_NET, [opening()]
    sequence = 1
    for batch in range(40):
        schema = FACE_NET if batch < 25 else BOTH_NETS
        entries: list[Entry] = []
        for second in sorted(rng.uniform(batch * 100, batch * 100 + 110, 60)):
            values = shares(1, len(schema.channels), seed=sequence)[0]
            entries.append(point(sequence, second, f"door.s1.{rng.integers(4)}", values))
            sequence += 1
        begin = NOON + batch * 100 * SECOND
        told = {
            3: [Gap(**place, sequence=sequence, begin=begin, end=begin + SECOND, reason=GapReason.DECODE_ERROR)],
            5: [Skipped(reason=SkippedReason.REJECTED, **place, sequence=sequence, gap=(begin, begin + 70 * SECOND))],
            6: [Skipped(reason=SkippedReason.SHED, **place, sequence=sequence, gap=(begin, begin + 90 * SECOND))],
            7: [Skipped(reason=SkippedReason.REJECTED)],  # a record that says not even whose it is
            9: [Erase(source="door", session="erase", sequence=0, person="door.s1.3")],
        }.get(batch, [])
        sequence += len(told)
        until = Progress(
            **place,
            sequence=sequence,
            event_time=begin + 100 * SECOND,
            frames=2_500,
            looked_at=2_500,
            closed=batch == 39,
        )
        sequence += 1
        yield schema, [*entries, *told, until]


def test_both_stores_give_the_same_answers(file: Path, fresh_redis: str) -> None:
    places = (file, fresh_redis)
    stores = [open_store(place) for place in places]
    writers = [Writer(store) for store in stores]
    for schema, entries in entries_of_a_day():
        for commit in writers:
            commit(*entries, schema=schema)
    for store in stores:
        store.close()
    readers = [reader_of(place) for place in places]
    ours, theirs = (asking(reader) for reader in readers)

    timeline = "/v1/people/door.s1.1/timeline"
    for path in (
        "/v1/sources",
        "/v1/people",
        "/v1/people?limit=1",
        "/v1/people/door.s1.0",
        "/v1/people/door.s1.3",
        "/v1/people/door.s1.1/picture",
        timeline,
        f"{timeline}?limit=77",
        f"{timeline}?every=1m",
        f"{timeline}?every=10s&from=30&to=900",
        f"{timeline}?every=20m",
        f"{timeline}?every=1s&from=500&to=690",
        f"{timeline}?every=7s&format=csv",
        f"{timeline}?every=1m&from=1000.5&channels=AU12,happiness&format=json-rows",
    ):
        assert ours(path).status_code == theirs(path).status_code, path
        assert ours(path).content == theirs(path).content, path
    why = ours(f"{timeline}?every=1s&from=500&to=690").json()["why"]
    assert {None, "absent", "rejected", "dropped"} == set(why)
    for reader in readers:
        reader.close()
