"""What the worker's store writes is what the query layer tells: the two sides of `contract.tables` together."""

from pathlib import Path

import numpy as np

from contract.labels import EXPRESSIONS, GapReason
from contract.readings import Entry, Point
from contract.records import Erase, Gap, Progress, Quality, SessionOpened
from query.sqlite_reader import SqliteReader
from tests.query.conftest import asking
from tests.query.stores import FACE_NET, JPEG, NOON, SECOND, shares
from worker.store.sqlite import SqliteStore

QUALITY = Quality(overall=0.5, sharpness=0.5, yaw_deg=0, pitch_deg=0, roll_deg=0, score=0.9)


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


def point(sequence: int, second: float, person: str = "door.s1.1") -> Point:
    return Point(
        source="door",
        session="s1",
        sequence=sequence,
        event_time=NOON + round(second * SECOND),
        frame=sequence,
        person=person,
        box_xywh=(1, 2, 3, 4),
        quality=QUALITY,
        values=shares(1, seed=sequence)[0],
        picture=JPEG if sequence == 1 else None,
    )


def test_what_a_worker_commits_is_told_while_it_works(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    reader = SqliteReader(tmp_path / "store.db")
    get = asking(reader)
    epoch = store.take("log", 0).epoch
    offset = 0

    def commit(*entries: Entry) -> None:
        nonlocal offset
        store.commit(
            "log",
            0,
            epoch=epoch,
            previous_offset=offset,
            next_offset=offset + len(entries),
            entries=entries,
            schema=FACE_NET,
        )
        offset += len(entries)

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
