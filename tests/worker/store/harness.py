"""What a store holds, read without the code under test, and what it ought to hold: the fold of the log."""

import sqlite3
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from contract.readings import Entry, Point
from contract.records import Erase, Gap, Progress, SessionOpened
from worker.store import Store
from worker.store.sqlite import SqliteStore

Packed = tuple[int, bytes]
"""(number of the minute, the bytes of one point)"""


@dataclass
class Contents:
    """Everything a store holds but its positions."""

    sessions: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    people: dict[str, dict[str, object]] = field(default_factory=dict)
    points: dict[str, list[Packed]] = field(default_factory=dict)  # in the order of the log within a minute
    gaps: set[tuple[str, str, int, int, int, str]] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)


class Harness(Protocol):
    """One kind of store under test."""

    def open(self) -> Store: ...

    def contents(self) -> Contents: ...

    def position(self, log: str, partition: int) -> int: ...


class SqliteHarness:
    """A store file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"

    def open(self) -> SqliteStore:
        return SqliteStore(self.path)

    def contents(self) -> Contents:
        with sqlite3.connect(self.path) as connection:
            connection.row_factory = sqlite3.Row
            found = read_contents(connection)
        connection.close()
        return found

    def position(self, log: str, partition: int) -> int:
        connection = sqlite3.connect(self.path)
        query = "SELECT next_offset FROM partitions WHERE log = ? AND partition = ?"
        row = connection.execute(query, (log, partition)).fetchone()
        connection.close()
        return row[0] if row else 0


def read_contents(connection: sqlite3.Connection) -> Contents:
    found = Contents(erased={row["person"] for row in connection.execute("SELECT person FROM erased")})
    for row in map(dict, connection.execute("SELECT * FROM sessions")):
        found.sessions[row.pop("source"), row.pop("session")] = row
    for row in map(dict, connection.execute("SELECT * FROM people")):
        found.people[row.pop("person")] = row
    found.gaps = {tuple(row) for row in connection.execute("SELECT * FROM gaps")}
    for row in connection.execute("SELECT person, chunk, points FROM chunks ORDER BY person, chunk, part"):
        assert isinstance(row["points"], bytes)
        size = struct.calcsize("<II4h3B3b3H")
        packed = [row["points"][at : at + size] for at in range(0, len(row["points"]), size)]
        found.points.setdefault(row["person"], []).extend((row["chunk"], one) for one in packed)
    return found


def fold(entries: Iterable[Entry]) -> Contents:
    """What a store must hold after these entries, one by one, in the plainest words."""
    state = Contents()
    for entry in entries:
        if isinstance(entry, Erase):
            state.erased.add(entry.person)
            state.people.pop(entry.person, None)
            state.points.pop(entry.person, None)
            continue
        key = (entry.source, entry.session)
        session = state.sessions.get(key)
        if session is None:
            session = state.sessions[key] = dict.fromkeys(SESSION) | ZEROES
        elif entry.sequence <= session["high_water"]:
            continue
        session["high_water"] = entry.sequence
        if isinstance(entry, SessionOpened):
            session |= opening(entry)
        elif isinstance(entry, Progress):
            session["complete_until"] = entry.event_time
            session |= {"frames": entry.frames, "looked_at": entry.looked_at, "closed": int(entry.closed)}
        elif isinstance(entry, Gap):
            state.gaps.add((*key, entry.sequence, entry.begin, entry.end, entry.reason.value))
        elif entry.person not in state.erased:
            add_point(state, entry, bool(session["keeps_pictures"]))
    for points in state.points.values():
        points.sort(key=lambda point: point[0])  # by minute, else in the order of the log
    return state


SESSION = ("uri", "opened_at", "dated", "width", "height", "fps", "sample_hz", "complete_until")
ZEROES = {"high_water": -1, "keeps_pictures": 0, "frames": 0, "looked_at": 0, "closed": 0}


def opening(entry: SessionOpened) -> dict[str, object]:
    return {
        "uri": entry.uri,
        "opened_at": entry.event_time,
        "dated": int(entry.dated),
        "width": entry.size_wh[0],
        "height": entry.size_wh[1],
        "fps": entry.fps,
        "sample_hz": entry.sample_hz,
        "keeps_pictures": int(entry.keeps_pictures),
    }


def add_point(state: Contents, point: Point, keeps_pictures: bool) -> None:
    row = state.people.setdefault(
        point.person,
        {
            "source": point.source,
            "session": point.session,
            "first_time": point.event_time,
            "last_time": point.event_time,
            "points": 0,
            "picture": None,
            "picture_quality": None,
        },
    )
    row["first_time"] = min(row["first_time"], point.event_time)
    row["last_time"] = max(row["last_time"], point.event_time)
    row["points"] += 1
    best = row["picture_quality"]
    if point.picture is not None and keeps_pictures and (best is None or point.quality.overall > best):
        row |= {"picture": point.picture, "picture_quality": point.quality.overall}
    state.points.setdefault(point.person, []).append((point.event_time // 60_000_000, in_bytes(point)))


def in_bytes(point: Point) -> bytes:
    """The layout of contract.points, written down a second time."""
    quality = point.quality
    return struct.pack(
        "<II4h3B3b3H",
        point.event_time % 60_000_000,
        point.frame,
        *(round(edge * 2) for edge in point.box_xywh),
        *(round(share * 255) for share in (quality.overall, quality.sharpness, quality.score)),
        *(round(angle) for angle in (quality.yaw_deg, quality.pitch_deg, quality.roll_deg)),
        *(round(float(value) * 65535) for value in point.values),
    )
