"""Reads what the workers of a cluster write to Redis: the other side of `query.store`.

Redis shows no state of several keys at one point in time unless a commit touches them in one call, and this reader
asks in several. What holds nevertheless, for Redis applies every commit at once:

* Every key is read as it was after some commit of its partition, and what is read later is never older.
* Points are only ever added. So whoever asks for a session before the points of its people, as the routes do, finds
  every point before `complete_until`; points behind it may be there already.
* The reading schemas first seen of a range are kept: points of a net that came later wait for the next snapshot.
* A person who is erased, or expires, while they are read, is gone from there on.

A failover that takes commits back may fall between two readings; then an answer may say that it is complete up to
where it was before, until it is asked again.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import redis

from contract.buckets import Buckets
from contract.errors import NotFound
from contract.keys import Keys
from contract.points import Columns
from contract.readings import ReadingSchema
from contract.topics import partition_of
from query.store import PeopleAfter, Person, Session
from query.store.choose import shown
from query.store.redis.asking import Member, asked, batches, members
from query.store.redis.points import PersonPoints
from query.store.redis.rows import PERSON, person_of, session_in, session_of
from query.store.redis.server import partitions_of, server_at
from runtime.redis import translated

NAMES_AT_ONCE = 250
PEOPLE_AT_ONCE = 2_000
SOURCES_AT_ONCE = 50


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
        """Yield the store from now on; see the head of this module for what holds of it.

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


class RedisSnapshot:
    """A store on Redis; see `Snapshot`, and the head of this module for where it is less."""

    def __init__(self, server: "redis.Redis", partitions: int) -> None:
        self._server: Any = server  # its types allow for every protocol and setting at once
        self._partitions = [Keys(partition) for partition in range(partitions)]
        self._people_at: dict[str, Keys] = {}
        self._sources_at: dict[str, Keys] = {}
        self._points_of: dict[str, PersonPoints] = {}

    def version(self) -> str | None:
        """Return a text that changes with every commit, also of a rescoring."""
        marks = self._asked(
            call
            for keys in self._partitions
            for call in (("hmget", keys.position, "log", "epoch", "next_offset"), ("hkeys", keys.rescored))
        )
        rescorings = [
            ("hmget", keys.rescoring(schema.decode()), "epoch", "next_offset")
            for keys, schemas in zip(self._partitions, marks[1::2], strict=True)
            for schema in schemas
        ]
        return hashlib.blake2b(repr([marks, self._asked(rescorings)]).encode(), digest_size=12).hexdigest()

    def sessions(self) -> list[Session]:
        """Return all sessions, by source and time."""
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
        """Return one session; raises NotFound."""
        home = self._sources_at.get(source) or self._partition_of(source)
        for places in ([home], self._partitions):
            for found in self._read_sessions((keys, source, session) for keys in places):
                if found is not None:
                    return found
        raise NotFound(f"no session {session!r} of a source {source!r}")

    def headcounts(self) -> dict[tuple[str, str], int]:
        """Return how many people each (source, session) shows; those who come or go meanwhile may be counted or not."""
        counts: Counter[tuple[str, str]] = Counter()
        doubtful = list[tuple[str, Keys, str]]()
        sources = self._sources()
        lists = self._asked(("zrange", keys.people(source), 0, -1) for source, keys in sources)
        known = self._asked(("smembers", keys.sessions(source)) for source, keys in sources)
        ends = self._asked(
            ("ttl", keys.person(names[place].decode()))
            for (_, keys), names in zip(sources, lists, strict=True)
            for place in (0, -1)
            if names
        )
        lasting = iter(ends)
        for (source, keys), names, sessions in zip(sources, lists, known, strict=True):
            if not names:
                continue
            # Nobody expires here: the list holds those who are there, and the names say in which session.
            for_ever = next(lasting) == next(lasting) == -1
            for name in map(bytes.decode, names):
                session = session_in(source, name, sessions) if for_ever else None
                if session is None:
                    doubtful.append((source, keys, name))
                else:
                    counts[source, session] += 1
        for batch in batches(doubtful, PEOPLE_AT_ONCE):
            stored = self._asked(("hget", keys.person(person), "session") for _, keys, person in batch)
            places = zip(batch, stored, strict=True)
            counts.update((source, session.decode()) for (source, *_), session in places if session is not None)
        return dict(counts)

    def people(self, source: str | None, after: PeopleAfter | None) -> Iterator[Person]:
        """Yield people by source, first time and id."""
        for batch in batches(self._listed(source, after), NAMES_AT_ONCE):
            yield from filter(None, self._read_people([(keys, person) for _, keys, person in batch]))

    def person(self, person: str) -> Person:
        """Return one person; raises NotFound."""
        likely = self._people_at.get(person) or self._partition_of(person.rsplit(".", 2)[0])
        found = next(self._read_people([(likely, person)]))
        if found is not None:
            self._people_at[person] = likely
        elif keys := self._home(person):  # an id of another form
            found = next(self._read_people([(keys, person)]))
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
        """Return the reading schemas, by id, of the chunks that touch [begin, end)."""
        points = self._points(person)
        return points.schemas(begin, end) if points else {}

    def points(self, person: str, begin: int, end: int) -> Iterator[tuple[int, str, Columns]]:
        """(chunk number, schema id, points) of the chunks that touch [begin, end), by chunk number; uncut."""
        points = self._points(person)
        return points.points(begin, end) if points else iter(())

    def buckets(self, person: str, begin: int, end: int, level_s: int) -> Iterator[tuple[str, Buckets]]:
        """(schema id, sums) of the whole buckets in [begin, end), those of a schema by time, none empty."""
        points = self._points(person)
        return points.buckets(begin, end, level_s) if points else iter(())

    def _points(self, person: str) -> PersonPoints | None:
        if person not in self._points_of and (home := self._home(person)):
            self._points_of[person] = PersonPoints(self._server, home, person)
        return self._points_of.get(person)

    def _asked(self, calls: Iterable[tuple[Any, ...]]) -> list[Any]:
        return asked(self._server, calls)

    def _partition_of(self, source: str) -> Keys:
        """Return where the producers put a source."""
        return self._partitions[partition_of(source, len(self._partitions))]

    def _sources(self) -> list[tuple[str, Keys]]:
        """Return all sources by name, and where they lie."""
        names = self._asked(("smembers", keys.sources) for keys in self._partitions)
        found = [(name.decode(), keys) for keys, each in zip(self._partitions, names, strict=True) for name in each]
        self._sources_at = dict(found)
        return sorted(found, key=lambda entry: entry[0])

    def _home(self, person: str) -> Keys | None:
        """Return where a person lies; None: nowhere."""
        if person not in self._people_at:
            found = self._asked(("exists", keys.person(person)) for keys in self._partitions)
            home = next((keys for keys, there in zip(self._partitions, found, strict=True) if there), None)
            if home is None:
                return None
            self._people_at[person] = home
        return self._people_at[person]

    def _read_sessions(self, places: Iterable[tuple[Keys, str, str]]) -> Iterator[Session | None]:
        """Yield sessions by (partition, source, id), each read before its gaps; None: nothing known."""
        for batch in batches(places, NAMES_AT_ONCE):
            replies = iter(self._asked(call for place in batch for call in _session_calls(*place)))
            for (_, source, name), fields, gaps in zip(batch, replies, replies, strict=True):
                yield session_of(source, name, fields, gaps) if fields else None

    def _read_people(self, places: Sequence[tuple[Keys, str]]) -> Iterator[Person | None]:
        """Yield people by (partition, id), in one round trip; None: erased, or expired."""
        replies = iter(self._asked(call for place in places for call in _person_calls(*place)))
        for (_, name), row, pictured in zip(places, replies, replies, strict=True):
            yield person_of(name, row, bool(pictured))

    def _listed(self, source: str | None, after: PeopleAfter | None) -> Iterator[tuple[str, Keys, str]]:
        """(source, partition, id) of people by source, first time and id; some may have expired."""
        homes = [
            (name, keys)
            for name, keys in self._sources()
            if source in (None, name) and (after is None or name >= after.source)
        ]
        for group in batches(homes, SOURCES_AT_ONCE):
            starts = [_start(name, after) for name, _ in group]
            calls = (
                ("zrangebyscore", keys.people(name), _least(start), "+inf", 0, NAMES_AT_ONCE, True)
                for (name, keys), start in zip(group, starts, strict=True)
            )
            for (name, keys), start, page in zip(group, starts, self._asked(calls), strict=True):
                for _, member in members(self._server, keys.people(name), "-inf", "+inf", start, page, NAMES_AT_ONCE):
                    yield name, keys, member.decode()


def _session_calls(keys: Keys, source: str, session: str) -> Iterator[tuple[Any, ...]]:
    yield "hgetall", keys.session(source, session)
    yield "hgetall", keys.gaps(source, session)


def _person_calls(keys: Keys, person: str) -> Iterator[tuple[Any, ...]]:
    yield "hmget", keys.person(person), PERSON
    yield "hexists", keys.person(person), "picture"


def _start(source: str, after: PeopleAfter | None) -> Member | None:
    """Return where the list of a source goes on."""
    if after is None or after.source != source:
        return None
    return float(after.first_time), after.person.encode()


def _least(after: Member | None) -> float | str:
    return "-inf" if after is None else after[0]
