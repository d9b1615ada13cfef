"""One commit as the function in mien_v1.lua wants it: the keys it may touch, and the packed batch."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.buckets import SECOND_US, slab_of, slabs_of_chunk
from contract.keys import BUCKET_LEVELS_S, Keys
from contract.points import CHUNK_US
from contract.readings import Point
from contract.records import Gap, Progress, SessionOpened
from worker.store.fold import Changes, SessionKey

FINEST_S = min(BUCKET_LEVELS_S)
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
                "passed": list(changes.passed.values()),
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
            main_epoch: of the partition when was looked which points are stored.
        """
        place = self._key(rescoring)
        chunks: dict[str, dict[int, Sequence[int]]] = {}
        for (name, chunk), own in places.items():
            chunks.setdefault(name, {})[chunk] = own
        people = list(self._points(chunks, rows, layer.id))
        for person in people:
            first, last = person["own"]
            person["own"] = (first + 2, last)  # the person and the index last as long as before
        return _encode(
            {
                "rescoring": place,
                "main": main_epoch,
                "names": [person["name"] for person in people],
                "people": people,
                "schema": layer.id,
                "body": self._span(layer.body),
                "stride": rows.dtype.itemsize,
            }
        )

    @property
    def body(self) -> bytes:
        """All the bytes that the batch names by their first and last place."""
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
            fields[opened.source, opened.session] = _opening(opened)
        for key, progress in changes.progress.items():
            fields.setdefault(key, []).extend(_progress(progress))
        keeps = {(opened.source, opened.session): opened.keeps_pictures for opened in changes.opened}
        sessions = []
        for key, mark in marks.items():
            assumed = "" if mark is None else str(mark)
            names = self._names.session(*key)
            session = {
                "key": self._key(names[0]),
                "assumed": assumed,
                "mark": str(changes.marks.get(key, mark)),
                "names": self._shared_key(names[1]) if mark is None else 0,
                "source": key[0],
                "session": key[1],
                "keeps": _flag(keeps[key]) if key in keeps else "",
                "fields": fields.get(key, []),
            }
            if gaps := [gap for gap in changes.gaps if (gap.source, gap.session) == key]:
                session["gaps"] = [self._key(names[2]), *_gap_fields(gaps)]
            sessions.append(session)
        return sessions

    def _erasure(self, person: str, indexed: Indexed) -> dict[str, Any]:
        names = self._names.person(person)
        people = self._shared_key(self._names.people(indexed.source)) if indexed.source else 0
        first = self._key(names.person)
        chunks = self._key(names.chunks)
        for member in indexed.members:
            chunk, schema = member.split(":")
            self._key(self._names.chunk(person, int(chunk), schema))
        for name in sorted(_bucket_keys(self._names.keys, person, indexed.members)):
            self._key(name)
        return {
            "person": person,
            "key": first,
            "chunks": chunks,
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
                "pictures": [
                    (place[point.source, point.session], repr(float(point.quality.overall)), *self._span(picture))
                    for point, picture in _best(added.pictured)
                ],
            }
            people.append(person)
        return people

    def _points(
        self, places: Mapping[str, Mapping[int, Sequence[int]]], rows: NDArray[np.void], schema: str
    ) -> Iterator[dict[str, Any]]:
        """Per person, where the rows in these places, by person and chunk, go, and what buckets they add to."""
        if not places:
            return
        parts_of = [own for chunks in places.values() for own in chunks.values()]
        order, counts = list(itertools.chain.from_iterable(parts_of)), list(map(len, parts_of))
        ordered = rows[order]
        sums = _Sums(ordered, counts, self._span)
        at, _ = self._span(ordered.tobytes())
        size, group = rows.dtype.itemsize, 0
        for person, chunks in places.items():
            names = self._names.person(person)
            first = self._key(names.person)
            chunks_key = self._key(names.chunks)
            parts, buckets = [], []
            for chunk in chunks:
                end = at + counts[group] * size
                key = self._key(self._names.chunk(person, chunk, schema))
                parts.append((key, chunk, at, end - 1))
                for level, bucket, first_place, last_place in sums.of(group):
                    slab, slot = slab_of(chunk * (CHUNK_US // (level * SECOND_US)) + bucket)
                    key = self._key(self._names.buckets(person, schema, level, slab))
                    buckets.append((key, slot, first_place, last_place))
                at, group = end, group + 1
            own_keys = (first, len(self.keys))
            yield {
                "name": person,
                "key": first,
                "chunks": chunks_key,
                "parts": parts,
                "buckets": buckets,
                "own": own_keys,
            }


class _Sums:
    """What rows, ordered by chunk and else as committed, add to the buckets of each chunk."""

    def __init__(self, rows: NDArray[np.void], counts: Sequence[int], span: Callable[[bytes], tuple[int, int]]) -> None:
        values = rows["values"]
        terms = np.empty((len(rows), 2 + values.shape[1]), "<u8")
        terms[:, 0] = 1
        terms[:, 1] = rows["quality"]
        terms[:, 2:] = values
        starts = np.array([0, *itertools.accumulate(counts[:-1])])
        bucket = rows["dt_us"] // (FINEST_S * SECOND_US)
        first, last = np.minimum.reduceat(bucket, starts), np.maximum.reduceat(bucket, starts)
        self._span, self._size = span, terms.shape[1] * 8
        self._found: list[list[tuple[int, int, int, int]]] = [[] for _ in counts]
        if (first == last).all():  # most commits are shorter than the finest bucket: one sum for all levels
            at, _ = span(np.add.reduceat(terms, starts, axis=0).tobytes())
            for group, number in enumerate(first.tolist()):
                for level in BUCKET_LEVELS_S:
                    self._note(group, level, number * FINEST_S // level, at + group * self._size)
            return
        group_of = np.repeat(np.arange(len(counts)), counts)
        for level in BUCKET_LEVELS_S:
            self._add(level, group_of, rows["dt_us"] // (level * SECOND_US), terms)

    def of(self, group: int) -> list[tuple[int, int, int, int]]:
        """(level in seconds, number of the bucket within the chunk, first and last place of the packed sums)"""
        return self._found[group]

    def _add(self, level: int, group: NDArray[np.int64], bucket: NDArray[np.uint32], terms: NDArray[np.uint64]) -> None:
        per_chunk = CHUNK_US // (level * SECOND_US)
        number = group * per_chunk + bucket
        steps = np.diff(number)
        if (steps < 0).any():
            order = np.argsort(number, kind="stable")
            number, terms = number[order], terms[order]
            steps = np.diff(number)
        starts = np.concatenate(([0], np.flatnonzero(steps) + 1))
        at, _ = self._span(np.add.reduceat(terms, starts, axis=0).tobytes())
        for place, one in enumerate(number[starts].tolist()):
            self._note(one // per_chunk, level, one % per_chunk, at + place * self._size)

    def _note(self, group: int, level: int, bucket: int, at: int) -> None:
        self._found[group].append((level, bucket, at, at + self._size - 1))


def _best(pictured: Sequence[Point]) -> list[tuple[Point, bytes]]:
    """The first best picture of each session, in the order of the log: which of them counts is for the store to say."""
    best: dict[SessionKey, Point] = {}
    for point in pictured:
        key = (point.source, point.session)
        if key not in best or point.quality.overall > best[key].quality.overall:
            best[key] = point
    return [(point, point.picture or b"") for point in pictured if point is best[point.source, point.session]]


def _opening(opened: SessionOpened) -> list[str]:
    width, height = opened.size_wh
    fields = {
        "uri": opened.uri,
        "opened_at": str(opened.event_time),
        "dated": _flag(opened.dated),
        "width": str(width),
        "height": str(height),
        "fps": None if opened.fps is None else repr(float(opened.fps)),
        "sample_hz": None if opened.sample_hz is None else repr(float(opened.sample_hz)),
        "keeps_pictures": _flag(opened.keeps_pictures),
    }
    return [text for field, value in fields.items() if value is not None for text in (field, value)]


def _progress(progress: Progress) -> list[str]:
    return [
        *("complete_until", str(progress.event_time)),
        *("frames", str(progress.frames)),
        *("looked_at", str(progress.looked_at)),
        *("closed", _flag(progress.closed)),
    ]


def _gap_fields(gaps: Iterable[Gap]) -> list[str]:
    return [text for gap in gaps for text in (str(gap.sequence), f"{gap.begin} {gap.end} {gap.reason}")]


def _flag(value: object) -> str:
    return "1" if value else "0"


def _bucket_keys(keys: Keys, person: str, members: Iterable[str]) -> set[str]:
    """The keys of all buckets that the chunks of an index have ever added to."""
    found = set()
    for member in members:
        chunk, schema = member.split(":")
        for level in BUCKET_LEVELS_S:
            found |= {keys.buckets(person, schema, level, slab) for slab in slabs_of_chunk(int(chunk), level)}
    return found


@dataclass(frozen=True, slots=True)
class _PersonNames:
    person: str
    chunks: str


class _Names:
    """Names of the keys of a partition, remembered: the same few come again and again for a minute."""

    def __init__(self, partition: int) -> None:
        keys = self.keys = Keys(partition)
        self.fixed = (keys.position, keys.born, keys.sources, keys.schemas, keys.erased)
        remembered = functools.lru_cache(maxsize=4096)
        self.chunk = remembered(keys.chunk)
        self.buckets = remembered(keys.buckets)
        self.people = remembered(keys.people)
        self.person = remembered(lambda person: _PersonNames(keys.person(person), keys.chunks(person)))
        self.session = remembered(
            lambda source, session: (keys.session(source, session), keys.sessions(source), keys.gaps(source, session))
        )


_names = functools.lru_cache(maxsize=64)(_Names)
