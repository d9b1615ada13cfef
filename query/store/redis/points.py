"""The points of one person on Redis, minute by minute or summed."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from contract.buckets import SECOND_US, Buckets, slabs_of_chunk, unpack_buckets
from contract.errors import BadStore
from contract.keys import BUCKET_SLOTS, Keys
from contract.points import Columns, chunk_of, unpack
from contract.readings import ReadingSchema
from query.store.redis.asking import asked, batches, members
from query.store.rescored import Part, buckets_in_force, points_in_force, runs, schemas_in_force

CHUNKS_AT_ONCE = 64  # of 110 KB each where 30 faces a second are read: 7 MB
SLABS_AT_ONCE = 16  # of 360 buckets
PLACES_KEPT = 4_096  # minutes of an index: about three days


@dataclass(frozen=True, slots=True)
class Index:
    """A person's index of some chunks: the names of the schemas in them, and the schemas that are stored."""

    chunks: range
    ids: frozenset[str]
    schemas: dict[str, ReadingSchema]
    places: tuple[tuple[int, str], ...] | None = None  # (chunk number, schema name) of all; None: too many to keep


class PersonPoints:
    """The points of one person; see `Snapshot`."""

    def __init__(self, server: Any, keys: Keys, person: str) -> None:
        self._server = server
        self._keys = keys
        self._person = person
        self._known: Index | None = None  # first; a schema that comes later is left to the next snapshot

    def schemas(self, begin: int, end: int) -> dict[str, ReadingSchema]:
        """Return the reading schemas, by id, of the chunks that touch [begin, end)."""
        found = self._look(_chunks(begin, end))
        self._known = self._known or found
        return schemas_in_force(found.schemas)

    def points(self, begin: int, end: int) -> Iterator[tuple[int, str, Columns]]:
        """(chunk number, schema id, points) of the chunks that touch [begin, end), by chunk number; uncut."""
        return points_in_force(self._stored_points(begin, end))

    def _stored_points(self, begin: int, end: int) -> Iterator[Part]:
        schemas, places = self._places(_chunks(begin, end))
        for run in runs(self._bodies(places)):
            (_, name, _), (chunk, *_) = run[0], run[-1]
            try:
                yield chunk, name, unpack([(number, body) for number, _, body in run], len(schemas[name].channels))
            except (KeyError, ValueError) as error:
                raise self._damaged(f"minute {chunk}", name) from error

    def _bodies(self, places: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str, bytes]]:
        """Yield the packed points of these places; those that have expired or were erased meanwhile are left out."""
        for size in itertools.chain((1, 4, 16), itertools.repeat(CHUNKS_AT_ONCE)):  # a short page needs little
            batch = list(itertools.islice(places, size))
            if not batch:
                return
            bodies = self._server.mget([self._keys.chunk(self._person, *place) for place in batch])
            yield from ((*place, body) for place, body in zip(batch, bodies, strict=True) if body is not None)

    def buckets(self, begin: int, end: int, level_s: int) -> Iterator[tuple[str, Buckets]]:
        """(schema id, sums) of the whole buckets in [begin, end), those of a schema by time, none empty."""
        stored = self._stored_buckets(begin, end, level_s)
        for _, group in itertools.groupby(stored, key=lambda part: part[0]):
            sums = {name: part for _, name, part in group}
            yield from buckets_in_force(sums, level_s * SECOND_US, self.points)

    def _stored_buckets(self, begin: int, end: int, level_s: int) -> Iterator[tuple[int, str, Buckets]]:
        """(slab, name, sums), by slab and name."""
        schemas, places = self._places(_chunks(begin, end))
        slabs = {(slab, name) for chunk, name in places for slab in slabs_of_chunk(chunk, level_s)}
        for batch in batches(sorted(slabs), SLABS_AT_ONCE):
            keys = (self._keys.buckets(self._person, name, level_s, slab) for slab, name in batch)
            for (slab, name), slots in zip(batch, asked(self._server, (("hgetall", key) for key in keys)), strict=True):
                try:
                    part = unpack_buckets(_numbered(slab, slots), len(schemas[name].channels), level_s)
                except (KeyError, ValueError) as error:
                    raise self._damaged(f"the sums of slab {slab}", name) from error
                low, high = np.searchsorted(part.begin, (begin, end))
                if low < high:
                    rows = slice(int(low), int(high))
                    yield slab, name, Buckets(part.begin[rows], part.count[rows], part.quality[rows], part.values[rows])

    def _places(self, chunks: range) -> tuple[dict[str, ReadingSchema], Iterator[tuple[int, str]]]:
        """Return the known schemas of these chunks and their (chunk number, schema id)."""
        known = self._known
        if known is None or chunks.start < known.chunks.start or known.chunks.stop < chunks.stop:
            known = self._look(chunks)
        ids = known.ids
        if known.chunks == chunks and known.places is not None:
            return known.schemas, iter(known.places)
        return known.schemas, (place for place in self._index(chunks) if place[1] in ids)

    def _look(self, chunks: range) -> Index:
        """Return the schemas of these chunks as they are now."""
        index = self._index(chunks)
        places = tuple(itertools.islice(index, PLACES_KEPT + 1))
        ids = sorted({name for _, name in itertools.chain(places, index)})
        bodies = self._server.hmget(self._keys.schemas, ids) if ids else []
        known = {
            name: msgspec.json.decode(body, type=ReadingSchema)
            for name, body in zip(ids, bodies, strict=True)
            if body is not None
        }
        return Index(chunks, frozenset(ids), known, places if len(places) <= PLACES_KEPT else None)

    def _index(self, chunks: range) -> Iterator[tuple[int, str]]:
        """(chunk number, schema id), in this order."""
        if not chunks:
            return
        for _, member in members(self._server, self._keys.chunks(self._person), chunks.start, chunks.stop - 1):
            chunk, _, name = member.decode().partition(":")
            yield int(chunk), name

    def _damaged(self, what: str, schema: str) -> BadStore:
        return BadStore(f"{what} of {self._person[:80]!r} does not fit its reading schema {schema}")


def _chunks(begin: int, end: int) -> range:
    """Return the chunks that touch [begin, end)."""
    return range(chunk_of(begin), chunk_of(end - 1) + 1) if begin < end else range(0)


def _numbered(slab: int, slots: Mapping[bytes, bytes]) -> Iterator[tuple[int, bytes]]:
    """(bucket number, bytes) of a slab."""
    return ((slab * BUCKET_SLOTS + int(slot), body) for slot, body in slots.items())
