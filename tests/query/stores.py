"""Store files written straight from the layout, so that the query layer is tested without a worker."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.labels import ACTION_UNITS, EXPRESSIONS
from contract.points import chunk_of, pack
from contract.readings import Channel, ChannelKind, NetVersion, Point, ReadingSchema
from contract.records import Quality
from contract.tables import APPLICATION_ID, LAYOUT_VERSION, SCHEMA

SECOND = 1_000_000
NOON = 1_795_262_400 * SECOND  # 2026-11-21T12:00:00Z
FACE_NET = ReadingSchema(
    nets=(NetVersion("fer-test", "1.2", "ab" * 32),),
    channels=tuple(Channel(name, ChannelKind.EXPRESSION) for name in EXPRESSIONS),
)
BOTH_NETS = ReadingSchema(
    nets=(NetVersion("fer-test", "2.0", "cd" * 32), NetVersion("au-test", "0.1", "ef" * 32)),
    channels=(
        *FACE_NET.channels,
        *(Channel(name, ChannelKind.ACTION_UNIT) for name in ACTION_UNITS),
    ),
)
JPEG = b"\xff\xd8\xff\xe0 not looked at by the query layer \xff\xd9"


class StoreFile:
    """A store that a test fills; it stands in for the worker and goes on writing while the query layer reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(SCHEMA)
        self._connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version={LAYOUT_VERSION}")

    def close(self) -> None:
        self._connection.close()

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        self._connection.execute(statement, values)

    def session(
        self,
        source: str = "clip",
        session: str = "s1",
        *,
        opened_at: int = 0,
        dated: bool = False,
        complete_until: int | None = 10 * SECOND,
        looked_at: int = 250,
        closed: bool = True,
        pictures: bool = False,
        uri: str = "videos/clip.mp4",
    ) -> None:
        self.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, 1, ?, ?, ?, 1280, 720, 25.0, NULL, ?, ?, ?, ?, ?)",
            (source, session, uri, opened_at, dated, pictures, complete_until, looked_at, looked_at, closed),
        )

    def gap(
        self, begin: int, end: int, reason: str = "decode_error", source: str = "clip", session: str = "s1"
    ) -> None:
        (place,) = self._connection.execute("SELECT count(*) FROM gaps").fetchone()
        self.execute("INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?)", (source, session, place, begin, end, reason))

    def person(
        self,
        person: str,
        event_time: NDArray[np.int64],
        values: NDArray[np.float32],
        *,
        source: str = "clip",
        session: str = "s1",
        schema: ReadingSchema = FACE_NET,
        picture: bytes | None = None,
    ) -> None:
        """Append points: (n,) µs and (n, channels)."""
        self.execute("BEGIN")
        body = msgspec.json.encode(schema)
        self.execute("INSERT OR IGNORE INTO reading_schemas VALUES (?, ?)", (schema.id, body))
        first, last = int(event_time.min()), int(event_time.max())
        self.execute(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?, 0.5) ON CONFLICT (person) DO UPDATE SET "
            "first_time = min(first_time, excluded.first_time), last_time = max(last_time, excluded.last_time), "
            "points = points + excluded.points",
            (person, source, session, first, last, len(event_time), picture),
        )
        minutes = event_time // 60_000_000
        for minute in np.unique(minutes):
            rows = np.flatnonzero(minutes == minute)
            points = [_point(source, session, person, int(row), int(event_time[row]), values[row]) for row in rows]
            chunk = chunk_of(points[0].event_time)
            self.execute(
                "INSERT INTO chunks (person, chunk, reading_schema, part, points) SELECT ?1, ?2, ?3, count(*), ?4 "
                "FROM chunks WHERE person = ?1 AND chunk = ?2 AND reading_schema = ?3",
                (person, chunk, schema.id, pack(points, chunk)),
            )
        self.execute("COMMIT")


def _point(source: str, session: str, person: str, row: int, event_time: int, values: NDArray[np.float32]) -> Point:
    return Point(
        source=source,
        session=session,
        sequence=row,
        event_time=event_time,
        frame=row,
        person=person,
        box_xywh=(100.5 + row % 7, 80.5, 64.0, 64.0),
        quality=Quality(overall=0.8, sharpness=0.9, yaw_deg=3, pitch_deg=-2, roll_deg=1, score=0.99),
        values=values,
    )


def every_frame(count: int, fps: float = 25.0, begin: int = 0) -> NDArray[np.int64]:
    """Event times of `count` frames; µs."""
    return begin + np.rint(np.arange(count) * (SECOND / fps)).astype(np.int64)


def shares(rows: int, channels: int = len(EXPRESSIONS), seed: int = 0) -> NDArray[np.float32]:
    """(rows, channels) that sum to one, different in every row."""
    return np.random.default_rng(seed).dirichlet(np.ones(channels), rows).astype(np.float32)
