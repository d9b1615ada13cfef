"""Stores written straight from their layouts, so that the query layer is tested without a worker."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import redis
from numpy.typing import NDArray

from contract.buckets import bucket_of, slab_of
from contract.keys import BUCKET_LEVELS_S, LAYOUT, Keys
from contract.labels import ACTION_UNITS, EXPRESSIONS
from contract.points import pack, point_dtype
from contract.readings import Channel, ChannelKind, NetVersion, Point, ReadingSchema
from contract.records import Face
from contract.tables import APPLICATION_ID, LAYOUT_VERSION, SCHEMA
from contract.topics import partition_of
from query.store.redis import RedisReader
from query.store.sqlite import SqliteReader

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
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(SCHEMA)
        self._connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version={LAYOUT_VERSION}")

    def close(self) -> None:
        self._connection.close()

    def reader(self) -> SqliteReader:
        return SqliteReader(self.path)

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        self._connection.execute(statement, values)

    def damage(self, person: str) -> None:
        """Leave bytes that are no points."""
        self.execute("UPDATE chunks SET points = x'0102' WHERE person = ?", (person,))

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
            "INSERT OR REPLACE INTO sessions (source, session, high_water, uri, opened_at, dated, width, height, fps, "
            "keeps_pictures, complete_until, frames, looked_at, closed) "
            "VALUES (?, ?, 1, ?, ?, ?, 1280, 720, 25.0, ?, ?, ?, ?, ?)",
            (source, session, uri, opened_at, dated, pictures, complete_until, looked_at, looked_at, closed),
        )

    def gap(
        self, begin: int, end: int, reason: str = "decode_error", source: str = "clip", session: str = "s1"
    ) -> None:
        (place,) = self._connection.execute("SELECT count(*) FROM gaps").fetchone()
        self.execute("INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?, 0)", (source, session, place, begin, end, reason))

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
        for chunk, body in packed_by_minute(event_time, values):
            self.execute(
                "INSERT INTO chunks (person, chunk, reading_schema, part, points) SELECT ?1, ?2, ?3, count(*), ?4 "
                "FROM chunks WHERE person = ?1 AND chunk = ?2 AND reading_schema = ?3",
                (person, chunk, schema.id, body),
            )
        self.execute("COMMIT")


class StoreOnRedis:
    """The same on a Redis server; what one call adds comes in one transaction, as a commit does."""

    def __init__(self, url: str, partitions: int = 3) -> None:
        self.url = url
        self.server: Any = redis.Redis.from_url(url)
        self.server.flushall()
        self.partitions = partitions
        self.server.hset(LAYOUT, mapping={"version": 1, "partitions": partitions})

    def close(self) -> None:
        self.server.close()

    def reader(self) -> RedisReader:
        return RedisReader(self.url)

    def keys(self, source: str) -> Keys:
        return Keys(partition_of(source, self.partitions))

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
        keys = self.keys(source)
        fields = {"high_water": 1, "uri": uri, "opened_at": opened_at, "width": 1280, "height": 720, "fps": 25.0}
        fields |= {"dated": int(dated), "keeps_pictures": int(pictures), "closed": int(closed)}
        fields |= {"frames": looked_at, "looked_at": looked_at}
        if complete_until is not None:
            fields["complete_until"] = complete_until
        with self.server.pipeline() as commit:
            commit.sadd(keys.sources, source).sadd(keys.sessions(source), session)
            commit.hset(keys.session(source, session), mapping=fields)
            commit.hincrby(keys.position, "next_offset").execute()

    def gap(
        self, begin: int, end: int, reason: str = "decode_error", source: str = "clip", session: str = "s1"
    ) -> None:
        key = self.keys(source).gaps(source, session)
        self.server.hset(key, self.server.hlen(key), f"{begin} {end} {reason}")

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
        keys = self.keys(source)
        held = self.server.hgetall(keys.person(person))
        first = min(int(event_time.min()), int(held.get(b"first_time", event_time.min())))
        last = max(int(event_time.max()), int(held.get(b"last_time", event_time.max())))
        points = len(event_time) + int(held.get(b"points", 0))
        fields = {"source": source, "session": session, "first_time": first, "last_time": last, "points": points}
        if picture is not None and not held:
            fields |= {"picture": picture, "picture_quality": 0.5}
        minutes = list(packed_by_minute(event_time, values))
        buckets = self._buckets(keys, person, schema, minutes)
        with self.server.pipeline() as commit:
            commit.hset(keys.schemas, schema.id, msgspec.json.encode(schema))
            commit.zadd(keys.people(source), {person: first})
            commit.hset(keys.person(person), mapping=fields)
            for chunk, body in minutes:
                commit.zadd(keys.chunks(person), {f"{chunk}:{schema.id}": chunk})
                commit.append(keys.chunk(person, chunk, schema.id), body)
            for (key, slot), sums in buckets.items():
                commit.hset(key, slot, sums.astype("<u8").tobytes())
            commit.hincrby(keys.position, "next_offset")
            commit.execute()

    def _buckets(
        self, keys: Keys, person: str, schema: ReadingSchema, minutes: Sequence[tuple[int, bytes]]
    ) -> dict[tuple[str, int], NDArray[np.uint64]]:
        """The sums of these points and of those that are there already, by (key, slot)."""
        found: dict[tuple[str, int], NDArray[np.uint64]] = {}
        for chunk, body in minutes:
            rows = np.frombuffer(body, point_dtype(len(schema.channels)))
            steps = np.column_stack([np.ones(len(rows)), rows["quality"], rows["values"]]).astype(np.uint64)
            for level in BUCKET_LEVELS_S:
                buckets = bucket_of(chunk * 60_000_000 + rows["dt_us"].astype(np.int64), level)
                for bucket in np.unique(buckets):
                    slab, slot = slab_of(int(bucket))
                    place = (keys.buckets(person, schema.id, level, slab), slot)
                    found[place] = found.get(place, 0) + steps[buckets == bucket].sum(axis=0)
        for place, before in zip(found, self._values_at(found), strict=True):
            if before is not None:
                found[place] = found[place] + np.frombuffer(before, "<u8")
        return found

    def _values_at(self, places: Iterable[tuple[str, int]]) -> list[bytes | None]:
        with self.server.pipeline() as questions:
            for place in places:
                questions.hget(*place)
            return questions.execute()

    def damage(self, person: str) -> None:
        """Leave bytes that are no points."""
        for key in self.server.scan_iter(f"mien:*:chunk:{person}:*"):
            self.server.set(key, b"\1\2")

    def forget(self, person: str, source: str = "clip") -> None:
        """Erase a person, as a commit does."""
        keys = self.keys(source)
        chunks = [member.decode().split(":") for member in self.server.zrange(keys.chunks(person), 0, -1)]
        with self.server.pipeline() as commit:
            for chunk, schema in chunks:
                commit.delete(keys.chunk(person, int(chunk), schema))
            commit.delete(keys.person(person), keys.chunks(person)).zrem(keys.people(source), person)
            commit.sadd(keys.erased, person).execute()


Store = StoreFile | StoreOnRedis


def packed_by_minute(event_time: NDArray[np.int64], values: NDArray[np.float32]) -> Iterator[tuple[int, bytes]]:
    """(chunk number, bytes) of these points."""
    minutes = event_time // 60_000_000
    for minute in np.unique(minutes):
        rows = np.flatnonzero(minutes == minute)
        yield int(minute), pack([_point(int(row), int(event_time[row]), values[row]) for row in rows], int(minute))


def _point(row: int, event_time: int, values: NDArray[np.float32]) -> Point:
    return Point(
        Face(
            source="any",
            session="any",
            sequence=row,
            event_time=event_time,
            frame=row,
            person="any",
            box_xywh=(100.5 + row % 7, 80.5, 64.0, 64.0),
            track=0,
            quality=0.8,
            sharpness=0.9,
            yaw_deg=3,
            pitch_deg=-2,
            roll_deg=1,
            score=0.99,
            crop=b"",
        ),
        values=values,
    )


def every_frame(count: int, fps: float = 25.0, begin: int = 0) -> NDArray[np.int64]:
    """Event times of `count` frames; µs."""
    return begin + np.rint(np.arange(count) * (SECOND / fps)).astype(np.int64)


def shares(rows: int, channels: int = len(EXPRESSIONS), seed: int = 0) -> NDArray[np.float32]:
    """(rows, channels) that sum to one, different in every row."""
    return np.random.default_rng(seed).dirichlet(np.ones(channels), rows).astype(np.float32)
