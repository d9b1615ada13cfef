"""Reads what the workers of a cluster write to Redis: the other side of `query.reader`.

Redis shows no state of several keys at one point in time unless a commit touches them in one call, and this reader
asks in several. What holds nevertheless, for Redis applies every commit at once:

* Every key is read as it was after some commit of its partition, and what is read later is never older.
* Points are only ever added. So whoever asks for a session before the points of its people, as the routes do, finds
  every point before `complete_until`; points behind it may be there already.
* The reading schemas told of a stretch are kept: points of a net that came later are left to the next snapshot.
* A person who is erased, or expires, while they are read, is gone from there on.

A failover that takes commits back may fall between two readings; then an answer may say that it is complete up to
where it was before, until it is asked again.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import msgspec
import redis

from contract.errors import BadStore, NotFound
from contract.keys import Keys
from contract.points import Columns, chunk_of, unpack
from contract.readings import ReadingSchema
from query.reader import PeopleAfter, Person, Session
from query.redis_rows import PERSON, person_of, session_of
from query.redis_server import partitions_of, server_at, translated
from query.stores import shown

CHUNKS_AT_ONCE = 64  # of 110 KB each where 30 faces a second are read: 7 MB
NAMES_AT_ONCE = 250
SOURCES_AT_ONCE = 50
MEMBERS_AT_ONCE = 4_096

Member = tuple[float, bytes]
"""(score, member) of a sorted set, in its order."""
T = TypeVar("T")


class RedisReader:
    """Reads the keys of `contract.keys`, also while workers write them. Threads may share it.

    Args:
        url: redis://[user:password@]host[:port][/number], rediss://… or unix:///path/of/socket.

    Raises:
        BadRequest: no such address.
    """

    def __init__(self, url: str) -> None:
        self._server = server_at(url)
        self._name = shown(url)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator["RedisSnapshot"]:
        """The store from now on; see the head of this module for what holds of it.

        Raises:
            NotAStore: no Mien data there.
            StoreTooNew: written by a newer Mien.
            StoreUnavailable: the server does not answer, or not for now.
            BadStore: it refuses us, or its keys are damaged.
        """
        with translated(self._name):
            yield RedisSnapshot(self._server, partitions_of(self._server, self._name))

    def close(self) -> None:
        """Close the idle connections."""
        self._server.close()


@dataclass(frozen=True, slots=True)
class _Told:
    """Which chunks of a person were asked for, the ids of the schemas in them, and those of them that are stored."""

    chunks: range
    ids: frozenset[str]
    schemas: dict[str, ReadingSchema]


class RedisSnapshot:
    """A store on Redis; see `Snapshot`, and the head of this module for where it is less."""

    def __init__(self, server: "redis.Redis", partitions: int) -> None:
        self._server: Any = server  # its types allow for every protocol and setting at once
        self._partitions = [Keys(partition) for partition in range(partitions)]
        self._people_at: dict[str, Keys] = {}
        self._sources_at: dict[str, Keys] = {}
        self._told: dict[str, _Told] = {}

    def sessions(self) -> list[Session]:
        """All sessions, by source and time."""
        sources = self._sources()
        names = self._asked(("smembers", keys.sessions(source)) for source, keys in sources)
        places = (
            (keys, source, name.decode())
            for (source, keys), found in zip(sources, names, strict=True)
            for name in found
        )
        found = filter(None, self._read_sessions(places))
        return sorted(found, key=lambda session: (session.source, session.opened_at, session.id))

    def session(self, source: str, session: str) -> Session:
        """One session; raises NotFound."""
        home = self._sources_at.get(source)
        for found in self._read_sessions((keys, source, session) for keys in ([home] if home else self._partitions)):
            if found is not None:
                return found
        raise NotFound(f"no session {session!r} of a source {source!r}")

    def headcounts(self) -> dict[tuple[str, str], int]:
        """How many people each (source, session) shows; those who come or go meanwhile may be counted or not."""
        counts: dict[tuple[str, str], int] = {}
        for person in self.people(None, None):
            key = (person.source, person.session)
            counts[key] = counts.get(key, 0) + 1
        return counts

    def people(self, source: str | None, after: PeopleAfter | None) -> Iterator[Person]:
        """People by source, first time and id."""
        for batch in _batches(self._listed(source, after), NAMES_AT_ONCE):
            yield from filter(None, self._read_people(batch))

    def person(self, person: str) -> Person:
        """One person; raises NotFound."""
        keys = self._home(person)
        found = next(self._read_people([(keys, person)])) if keys else None
        if found is None:
            raise NotFound(f"no person {person[:80]!r} in the store")
        return found

    def picture(self, person: str) -> bytes | None:
        """JPEG of the person, where the source keeps pictures."""
        if (keys := self._home(person)) is None:
            return None
        source, session, jpeg = self._server.hmget(keys.person(person), "source", "session", "picture")
        if source is None or jpeg is None:
            return None
        keeps = self._server.hget(keys.session(source.decode(), session.decode()), "keeps_pictures")
        return jpeg if keeps is not None and int(keeps) else None

    def schemas(self, person: str, begin: int, end: int) -> dict[str, ReadingSchema]:
        """The reading schemas, by id, of the chunks that touch [begin, end)."""
        keys = self._home(person)
        if keys is None or end <= begin:
            return {}
        found = self._look(keys, person, range(chunk_of(begin), chunk_of(end - 1) + 1))
        self._told.setdefault(person, found)
        return found.schemas

    def stretches(self, person: str, begin: int, end: int) -> Iterator[tuple[int, str, Columns]]:
        """(chunk number, schema id, points) of the chunks that touch [begin, end), by chunk number; uncut."""
        keys = self._home(person)
        if keys is None or end <= begin:
            return
        chunks = range(chunk_of(begin), chunk_of(end - 1) + 1)
        told = self._told.get(person)
        if told is None or not (told.chunks.start <= chunks.start and chunks.stop <= told.chunks.stop):
            told = self._look(keys, person, chunks)
        places = (place for place in self._chunks(keys, person, chunks) if place[1] in told.ids)
        for batch in _batches(places, CHUNKS_AT_ONCE):
            bodies = self._server.mget([keys.chunk(person, chunk, schema) for chunk, schema in batch])
            for (chunk, schema), body in zip(batch, bodies, strict=True):
                if body is not None:  # it may have expired, or been erased meanwhile
                    yield chunk, schema, _unpacked(person, chunk, schema, body, told.schemas.get(schema))

    def _look(self, keys: Keys, person: str, chunks: range) -> "_Told":
        """The schemas of these chunks as they are now."""
        ids = sorted({schema for _, schema in self._chunks(keys, person, chunks)})
        bodies = self._server.hmget(keys.schemas, ids) if ids else []
        known = {
            schema: msgspec.json.decode(body, type=ReadingSchema)
            for schema, body in zip(ids, bodies, strict=True)
            if body is not None
        }
        return _Told(chunks, frozenset(ids), known)

    def _chunks(self, keys: Keys, person: str, chunks: range) -> Iterator[tuple[int, str]]:
        """(chunk number, schema id), in this order."""
        for _, member in self._members(keys.chunks(person), chunks.start, chunks.stop - 1):
            chunk, _, schema = member.decode().partition(":")
            yield int(chunk), schema

    def _sources(self) -> list[tuple[str, Keys]]:
        """All sources by name, and where they lie."""
        names = self._asked(("smembers", keys.sources) for keys in self._partitions)
        found = [(name.decode(), keys) for keys, each in zip(self._partitions, names, strict=True) for name in each]
        self._sources_at = dict(found)
        return sorted(found, key=lambda entry: entry[0])

    def _home(self, person: str) -> Keys | None:
        """Where a person lies; None: nowhere."""
        if person not in self._people_at:
            found = self._asked(("exists", keys.person(person)) for keys in self._partitions)
            home = next((keys for keys, there in zip(self._partitions, found, strict=True) if there), None)
            if home is None:
                return None
            self._people_at[person] = home
        return self._people_at[person]

    def _read_sessions(self, places: Iterable[tuple[Keys, str, str]]) -> Iterator[Session | None]:
        """Sessions by (partition, source, id), each read before its gaps; None: nothing known."""
        for batch in _batches(places, NAMES_AT_ONCE):
            replies = iter(self._asked(call for place in batch for call in _session_calls(*place)))
            for (_, source, name), fields, gaps in zip(batch, replies, replies, strict=True):
                yield session_of(source, name, fields, gaps) if fields else None

    def _read_people(self, places: Sequence[tuple[Keys, str]]) -> Iterator[Person | None]:
        """People by (partition, id), in one round trip; None: erased, or expired."""
        replies = iter(self._asked(call for place in places for call in _person_calls(*place)))
        for (_, name), row, pictured in zip(places, replies, replies, strict=True):
            yield person_of(name, row, bool(pictured))

    def _listed(self, source: str | None, after: PeopleAfter | None) -> Iterator[tuple[Keys, str]]:
        """(partition, id) of people by source, first time and id; some may have expired."""
        homes = [
            (name, keys)
            for name, keys in self._sources()
            if source in (None, name) and (after is None or name >= after.source)
        ]
        for group in _batches(homes, SOURCES_AT_ONCE):
            starts = [_start(name, after) for name, _ in group]
            calls = (
                ("zrangebyscore", keys.people(name), _least(start), "+inf", 0, NAMES_AT_ONCE, True)
                for (name, keys), start in zip(group, starts, strict=True)
            )
            for (name, keys), start, page in zip(group, starts, self._asked(calls), strict=True):
                for _, member in self._members(keys.people(name), "-inf", "+inf", start, page, NAMES_AT_ONCE):
                    yield keys, member.decode()

    def _members(
        self,
        key: str,
        low: int | str,
        high: int | str,
        after: Member | None = None,
        page: list[Any] | None = None,
        size: int = MEMBERS_AT_ONCE,
    ) -> Iterator[Member]:
        """Members of a sorted set behind `after`, page by page; the first page of `size` may be at hand."""
        while True:
            if page is None:
                page = self._server.zrangebyscore(key, low if after is None else after[0], high, 0, size, True)
            last, filled = after, len(page) == size
            for member, score in page:
                if after is None or (score, member) > after:
                    after = (score, member)
                    yield after
            if not filled:
                return
            page, size = None, 2 * size if last == after else size  # one score may be that of more than a page

    def _asked(self, calls: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The replies to (name, argument, …), in one round trip."""
        pipeline = self._server.pipeline(transaction=False)
        for name, *arguments in calls:
            getattr(pipeline, name)(*arguments)
        replies: list[Any] = pipeline.execute()
        return replies


def _session_calls(keys: Keys, source: str, session: str) -> Iterator[tuple[Any, ...]]:
    yield "hgetall", keys.session(source, session)
    yield "hgetall", keys.gaps(source, session)


def _person_calls(keys: Keys, person: str) -> Iterator[tuple[Any, ...]]:
    yield "hmget", keys.person(person), PERSON
    yield "hexists", keys.person(person), "picture"


def _start(source: str, after: PeopleAfter | None) -> Member | None:
    """Where the list of a source goes on."""
    if after is None or after.source != source:
        return None
    return float(after.first_time), after.person.encode()


def _least(after: Member | None) -> float | str:
    return "-inf" if after is None else after[0]


def _unpacked(person: str, chunk: int, name: str, body: bytes, schema: ReadingSchema | None) -> Columns:
    try:
        if schema is not None:
            return unpack([(chunk, body)], len(schema.channels))
        flaw = None
    except ValueError as error:
        flaw = error
    raise BadStore(f"minute {chunk} of {person!r} does not fit its reading schema {name}") from flaw


def _batches(entries: Iterable[T], size: int) -> Iterator[list[T]]:
    """The entries in lists of this length, the last one shorter."""
    rest = iter(entries)
    while batch := list(islice(rest, size)):
        yield batch
