"""What a store holds, read without the code under test, and what it ought to hold: the fold of the log."""

import itertools
import shutil
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from contract.readings import Entry, Point, Skipped
from contract.records import Erase, Gap, Progress, SessionOpened
from tests.worker.store.own_redis import OwnRedis, shared_redis
from tests.worker.store.redis_contents import dumped, read_redis, restored
from worker.store import Store
from worker.store.redis import RedisStore
from worker.store.sqlite import SqliteStore

Packed = tuple[int, bytes]
"""(number of the minute, the bytes of one point)"""


@dataclass
class Contents:
    """Everything a store holds but its positions."""

    sessions: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    people: dict[str, dict[str, object]] = field(default_factory=dict)
    points: dict[str, list[Packed]] = field(default_factory=dict)  # in the order of the log within a minute
    layers: dict[str, dict[str, list[Packed]]] = field(default_factory=dict)  # points of those read again, by name
    gaps: set[tuple[str, str, int, int, int, str, int]] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)  # over all partitions

    def at(self, name: str, person: str) -> list[Packed]:
        """The points of a person under a schema's or a layer's name."""
        points = self.layers.setdefault(name, {}) if "+" in name else self.points
        return points.setdefault(person, [])


class Harness(Protocol):
    """One kind of store under test."""

    def open(self) -> Store: ...

    def contents(self) -> Contents: ...

    def position(self, log: str, partition: int) -> int: ...

    def copy(self, store: Store) -> object:
        """Everything that is stored now, as a replica or a backup has it."""

    def fail_over(self, store: Store, copy: object) -> Store:
        """The store to go on with, when all that was stored since the copy is lost."""


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

    def copy(self, store: Store) -> Path:
        store.close()
        self._copies = getattr(self, "_copies", 0) + 1
        copy = shutil.copy(self.path, self.path.with_suffix(f".{self._copies}"))
        store.__init__(self.path)  # type: ignore[misc]
        return Path(copy)

    def fail_over(self, store: Store, copy: object) -> Store:
        store.close()
        shutil.copy(str(copy), self.path)
        return self.open()


class RedisHarness:
    """A database of a Redis, emptied; two partitions, on the first of which lies every source named «cam»."""

    _databases = itertools.cycle(range(16))

    def __init__(self, folder: Path, server: OwnRedis | None = None, functions: bool | None = None) -> None:
        self.server = server or shared_redis()
        self.database = next(self._databases) if server is None else 0
        self.client = self.server.client(self.database)
        self.client.flushdb()
        self._functions = functions

    @property
    def url(self) -> str:
        return f"{self.server.url}?db={self.database}"

    def open(self) -> RedisStore:
        return RedisStore(self.url, partitions=2, adopt_logs=True, functions=self._functions)

    def contents(self) -> Contents:
        found = Contents()
        read_redis(self.client, found)
        return found

    def position(self, log: str, partition: int) -> int:
        followed, offset = self.client.hmget(f"mien:{{{partition}}}:position", "log", "next_offset")
        return int(offset) if followed == log.encode() else 0

    def copy(self, store: Store) -> object:
        return dumped(self.client)

    def fail_over(self, store: Store, copy: object) -> Store:
        restored(self.client, copy)
        return store


def scripted_redis(folder: Path) -> RedisHarness:
    """Redis as it is below version 7."""
    return RedisHarness(folder, functions=False)


def read_contents(connection: sqlite3.Connection) -> Contents:
    found = Contents(erased={row["person"] for row in connection.execute("SELECT person FROM erased")})
    for row in map(dict, connection.execute("SELECT * FROM sessions")):
        found.sessions[row.pop("source"), row.pop("session")] = row
    for row in map(dict, connection.execute("SELECT * FROM people")):
        found.people[row.pop("person")] = row
    found.gaps = {tuple(row) for row in connection.execute("SELECT * FROM gaps")}
    rejected, shed = connection.execute("SELECT sum(rejected), sum(shed) FROM partitions").fetchone()
    found.skipped = Counter(rejected=rejected or 0, shed=shed or 0)
    query = "SELECT person, chunk, reading_schema, points FROM chunks ORDER BY person, chunk, part"
    for row in connection.execute(query):
        assert isinstance(row["points"], bytes)
        size = struct.calcsize("<II4h3B3b3H")
        packed = [row["points"][at : at + size] for at in range(0, len(row["points"]), size)]
        found.at(row["reading_schema"], row["person"]).extend((row["chunk"], one) for one in packed)
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
        if isinstance(entry, Skipped) and entry.source is None:
            state.skipped[entry.reason.value] += 1
            continue
        key = (entry.source, entry.session)
        session = state.sessions.get(key)
        if isinstance(entry, Gap) and entry.is_interruption:
            if session is not None and entry.sequence > session["high_water"]:
                interrupt(state, session, entry)
            continue
        if session is None:
            session = state.sessions[key] = dict.fromkeys(SESSION) | ZEROES
        elif entry.sequence <= session["high_water"]:
            continue
        session["high_water"] = entry.sequence
        state.gaps = {gap for gap in state.gaps if gap[:3] != (*key, -1)}
        if isinstance(entry, SessionOpened):
            session |= opening(entry)
        elif isinstance(entry, Progress):
            session["complete_until"] = entry.event_time
            session |= {"frames": entry.frames, "looked_at": entry.looked_at, "closed": int(entry.closed)}
        elif isinstance(entry, Gap):
            state.gaps.add((*key, entry.sequence, entry.begin, entry.end, entry.reason.value, entry.faces))
        elif isinstance(entry, Skipped):
            state.skipped[entry.reason.value] += 1
            if entry.gap is not None:
                reason = {"rejected": "rejected", "shed": "dropped"}[entry.reason.value]
                state.gaps.add((*key, entry.sequence, *entry.gap, reason, 0))
        elif entry.face.person not in state.erased:
            add_point(state, entry, bool(session["keeps_pictures"]))
    for points in state.points.values():
        points.sort(key=lambda point: point[0])  # by minute, else in the order of the log
    return state


def interrupt(state: Contents, session: dict[str, object], gap: Gap) -> None:
    complete = session["complete_until"]
    if complete is None or complete <= gap.begin:
        session |= {"complete_until": gap.begin, "frames": gap.frames, "looked_at": gap.looked_at}
        key = (gap.source, gap.session, -1)
        state.gaps = {each for each in state.gaps if each[:3] != key} | {
            (*key, gap.begin, gap.end, gap.reason.value, 0)
        }


SESSION = ("uri", "name", "settings", "opened_at", "dated", "width", "height", "fps", "sample_hz", "complete_until")
ZEROES = {"high_water": -1, "keeps_pictures": 0, "start_offset": 0, "frames": 0, "looked_at": 0, "closed": 0}


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
        "name": entry.name or None,
        "start_offset": entry.start_offset_us,
        "settings": entry.settings or None,
    }


def add_point(state: Contents, point: Point, keeps_pictures: bool) -> None:
    row = state.people.setdefault(
        point.face.person,
        {
            "source": point.source,
            "session": point.session,
            "first_time": point.face.event_time,
            "last_time": point.face.event_time,
            "points": 0,
            "picture": None,
            "picture_quality": None,
        },
    )
    row["first_time"] = min(row["first_time"], point.face.event_time)
    row["last_time"] = max(row["last_time"], point.face.event_time)
    row["points"] += 1
    best = row["picture_quality"]
    if point.picture is not None and keeps_pictures and (best is None or point.face.quality > best):
        row |= {"picture": point.picture, "picture_quality": point.face.quality}
    state.points.setdefault(point.face.person, []).append((point.face.event_time // 60_000_000, in_bytes(point)))


def in_bytes(point: Point) -> bytes:
    """The layout of contract.points, written down a second time."""
    face = point.face
    return struct.pack(
        "<II4h3B3b3H",
        face.event_time % 60_000_000,
        face.frame,
        *(round(edge * 2) for edge in face.box_xywh),
        *(round(share * 255) for share in (face.quality, face.sharpness, face.score)),
        *(round(angle) for angle in (face.yaw_deg, face.pitch_deg, face.roll_deg)),
        *(round(float(value) * 65535) for value in point.values),
    )
