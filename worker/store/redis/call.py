"""One commit as the function in mien_v1.lua wants it: the keys it may touch, and the packed batch."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.buckets import bucket_of, slab_of, slabs_of_chunk
from contract.keys import BUCKET_LEVELS_S, Keys
from contract.points import CHUNK_US
from contract.readings import COUNTED, Point
from worker.store.fold import Changes, SessionKey
from worker.store.redis import session_fields
from worker.store.sums import bucket_sums

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class SchemaText:
    """A reading schema as it is stored."""

    id: str  # or the name of a layer
    body: bytes  # JSON


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the store knows of a person who is to be erased."""

    source: str  # empty: nothing
    members: list[str]  # «chunk:schema id»


class Call:
    """The keys and the batch of one commit; marks, people and indices in it are checked again by the function."""

    def __init__(self, partition: int) -> None:
        self._names = _names(partition)
        self.keys: list[str] = list(self._names.fixed)
        self._bytes: list[bytes] = []  # msgpack in Redis knows no bytes; they follow the batch, as one argument
        self._size = 0
        self._shared: dict[str, int] = {}

    def batch(
        self,
        changes: Changes,
        marks: Mapping[SessionKey, int | None],
        rows: NDArray[np.void],
        indexed: Mapping[str, Indexed],
        schema: SchemaText,
        retention_s: int | None,
    ) -> bytes:
        """The batch; `rows` are those of all points of the entries that `changes` came from."""
        sessions = self._sessions(changes, marks)
        place = {key: number for number, key in enumerate(marks, 1)}
        return _encode(
            {
                "sessions": sessions,
                "erasures": [self._erasure(person, indexed[person]) for person in changes.erased],
                "names": list(changes.people),
                "people": self._people(changes, rows, place, schema.id),
                "passed": [changes.skipped[reason] for reason in COUNTED],
                "schema": schema.id,
                "body": self._span(schema.body),
                "stride": rows.dtype.itemsize,
                "retention": retention_s or 0,
            }
        )

    def rescoring(
        self,
        rescoring: str,
        main_epoch: str,
        places: Mapping[tuple[str, int], Sequence[int]],
        rows: NDArray[np.void],
        layer: SchemaText,
    ) -> bytes:
        """The batch of a rescoring: rows in these places, by (person, chunk), for a layer.

        Args:
            rescoring: the key that holds its position.
            main_epoch: the partition's epoch at the time the stored points were read.
        """
        place = self._key(rescoring)
        chunks: dict[str, dict[int, Sequence[int]]] = {}
        for (name, chunk), own in places.items():
            chunks.setdefault(name, {})[chunk] = own
        return _encode(
            {
                "rescoring": place,
                "main": main_epoch,
                "names": list(chunks),
                "people": list(self._points(chunks, rows, layer.id)),
                "schema": layer.id,
                "body": self._span(layer.body),
                "stride": rows.dtype.itemsize,
            }
        )

    @property
    def body(self) -> bytes:
        """Return all the bytes that the batch refers to by their first and last place."""
        return b"".join(self._bytes)

    def _span(self, body: bytes) -> tuple[int, int]:
        """The first and last place of bytes that are added to the body, as Lua counts."""
        self._bytes.append(body)
        self._size += len(body)
        return self._size - len(body) + 1, self._size

    def _key(self, name: str) -> int:
        """The place of a key that belongs to one entry alone."""
        self.keys.append(name)
        return len(self.keys)

    def _shared_key(self, name: str) -> int:
        if name not in self._shared:
            self._shared[name] = self._key(name)
        return self._shared[name]

    def _sessions(self, changes: Changes, marks: Mapping[SessionKey, int | None]) -> list[dict[str, Any]]:
        fields: dict[SessionKey, list[str]] = {}
        for opened in changes.opened:
            fields[opened.source, opened.session] = session_fields.opening(opened)
        for key, progress in changes.progress.items():
            fields.setdefault(key, []).extend(session_fields.progress(progress))
        keeps = {(opened.source, opened.session): opened.keeps_pictures for opened in changes.opened}
        sessions = []
        for key, mark in marks.items():
            assumed = "" if mark is None else str(mark)
            raised = changes.marks.get(key)
            names = self._names.session(*key)
            session = {
                "key": self._key(names[0]),
                "assumed": assumed,
                "mark": assumed if raised is None else str(raised),  # empty: nobody opened it, nothing is written
                "names": self._shared_key(names[1]) if mark is None else 0,
                "source": key[0],
                "session": key[1],
                "keeps": session_fields.flag(keeps[key]) if key in keeps else "",
                "fields": fields.get(key, []),
            }
            session["open"] = self._key(names[2])
            session["raised"] = key in changes.marks
            session["progressed"] = (
                key in changes.progress
            )  # the interruption was compared with it, not with the stored
            if interruption := changes.interruptions.get(key):
                session["interruption"] = session_fields.interruption(interruption, is_open=key not in changes.resumed)
            if gaps := [gap for gap in changes.gaps if (gap.source, gap.session) == key]:
                session["gaps"] = [session["open"], *session_fields.gap_fields(gaps)]
            sessions.append(session)
        return sessions

    def _erasure(self, person: str, indexed: Indexed) -> dict[str, Any]:
        people = self._shared_key(self._names.people(indexed.source)) if indexed.source else 0
        first = len(self.keys) + 1
        self.keys += self._names.person(person)
        self.keys += sorted(_keys_of_points(self._names.keys, person, indexed.members))
        return {
            "person": person,
            "key": first,
            "chunks": first + 1,
            "people": people,
            "source": indexed.source,
            "members": indexed.members,
            "doomed": [first, len(self.keys)],
        }

    def _people(
        self, changes: Changes, rows: NDArray[np.void], place: Mapping[SessionKey, int], schema: str
    ) -> list[dict[str, Any]]:
        people = []
        chunks = {person: added.chunks for person, added in changes.people.items()}
        for person, added in zip(self._points(chunks, rows, schema), changes.people.values(), strict=True):
            person |= {
                "people": self._shared_key(self._names.people(added.source)),
                "source": added.source,
                "session": added.session,
                "first": str(added.first_time),
                "last": str(added.last_time),
                "points": added.points,
            }
            if added.pictured:
                person["pictures"] = [
                    (place[point.source, point.session], repr(float(point.face.quality)), *self._span(picture))
                    for point, picture in _best(added.pictured)
                ]
            people.append(person)
        return people

    def _points(
        self, places: Mapping[str, Mapping[int, Sequence[int]]], rows: NDArray[np.void], schema: str
    ) -> Iterator[dict[str, Any]]:
        """Per person, where the rows in these places, by person and chunk, go, and what buckets they add to."""
        if not places:
            return
        own = [rows for chunks in places.values() for rows in chunks.values()]
        counts = list(map(len, own))
        ordered = rows.take(list(itertools.chain.from_iterable(own)))  # a third of the time of rows[...]
        sums, added = bucket_sums(ordered, counts)
        (at, _), (sums_at, _) = self._span(ordered.tobytes()), self._span(sums.tobytes())
        size, sum_size, keys, group = rows.itemsize, sums.itemsize * sums.shape[1], self.keys, 0
        for person, chunks in places.items():
            first = len(keys) + 1
            keys += self._names.person(person)
            parts: list[int] = []  # flat, as msgpack takes longer in Lua than anything else here
            buckets: list[int] = []
            for chunk in chunks:
                place, end = len(keys) + 1, at + counts[group] * size
                names, slots = self._names.chunk(person, chunk, schema)
                keys += names
                parts += (place, chunk, at, end - 1)
                for level, bucket, row in added[group]:
                    begin = sums_at + row * sum_size
                    buckets += (place + 1 + level, slots[level] + bucket, begin, begin + sum_size - 1)
                at, group = end, group + 1
            yield {"key": first, "parts": parts, "buckets": buckets, "last_key": len(keys)}


def _best(pictured: Sequence[Point]) -> list[tuple[Point, bytes]]:
    """Return the first best picture of each session, in the order of the log; the store decides which one counts."""
    best: dict[SessionKey, Point] = {}
    for point in pictured:
        key = (point.source, point.session)
        if key not in best or point.face.quality > best[key].face.quality:
            best[key] = point
    return [(point, point.picture or b"") for point in pictured if point is best[point.source, point.session]]


def _keys_of_points(keys: Keys, person: str, members: Iterable[str]) -> set[str]:
    """The keys of the chunks of an index, and of all buckets that they have ever added to."""
    found = set()
    for member in members:
        chunk, schema = member.split(":")
        found.add(keys.chunk(person, int(chunk), schema))
        for level in BUCKET_LEVELS_S:
            found |= {keys.buckets(person, schema, level, slab) for slab in slabs_of_chunk(int(chunk), level)}
    return found


class _Names:
    """Names of the keys of a partition, remembered: the same few come again and again for a minute."""

    def __init__(self, partition: int) -> None:
        keys = self.keys = Keys(partition)
        self.fixed = (keys.position, keys.born, keys.sources, keys.schemas, keys.erased)
        remembered = functools.lru_cache(maxsize=4096)
        self.people = remembered(keys.people)
        self.person = remembered(lambda person: (keys.person(person), keys.chunks(person)))
        self.chunk = remembered(self._chunk)
        self.session = remembered(
            lambda source, session: (keys.session(source, session), keys.sessions(source), keys.gaps(source, session))
        )

    def _chunk(self, person: str, chunk: int, schema: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """The keys of a chunk and of its buckets of each level; the slots there of the first bucket of each level."""
        names, slots = [self.keys.chunk(person, chunk, schema)], []
        for level in BUCKET_LEVELS_S:
            slab, slot = slab_of(bucket_of(chunk * CHUNK_US, level))  # all buckets of a chunk lie in one slab
            names.append(self.keys.buckets(person, schema, level, slab))
            slots.append(slot)
        return tuple(names), tuple(slots)


_names = functools.lru_cache(maxsize=64)(_Names)
