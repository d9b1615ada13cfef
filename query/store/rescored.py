"""Chooses among several readings of a frame that of the highest layer (`contract.layers`), for points and sums.

This is the one place that knows of layers: whatever leaves it names reading schemas alone and has every frame once.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.buckets import Buckets
from contract.layers import rank_of, schema_of_name
from contract.points import CHUNK_US, SHARE_STEP, VALUE_STEP, Columns
from contract.readings import ReadingSchema
from query.store.sums import sums_of_points

Part = tuple[int, str, Columns]
"""(chunk number, id of a schema or name of a layer, points)"""
Packed = tuple[int, str, bytes]
"""(chunk number, name of a schema or layer, packed points)"""
RUN = 64  # chunks
Mask = NDArray[np.bool_]
T = TypeVar("T", Columns, Buckets)


def schemas_in_force(stored: Mapping[str, ReadingSchema]) -> dict[str, ReadingSchema]:
    """Return the schemas of these names by their ids, those of the highest layer first."""
    return {schema_of_name(name): stored[name] for name in sorted(stored, key=lambda name: (-rank_of(name), name))}


def runs(stored: Iterable[Packed]) -> Iterator[list[Packed]]:
    """Yield runs of packed chunks that can be unpacked together: of one schema, and nothing else in their minutes.

    One by one at first, then more at a time: a short page reads little, a long one is not minutes of small arrays.
    """
    run, most = list[Packed](), 1
    for chunk, group in itertools.groupby(stored, key=lambda packed: packed[0]):
        here = list(group)
        alone = len({name for _, name, _ in here}) == 1 and rank_of(here[0][1]) == 0
        if run and not (alone and run[-1][1] == here[0][1] and run[-1][0] != chunk and len(run) < most):
            yield run
            run, most = [], min(2 * most, RUN)
        if alone:
            run += here
        else:
            yield from (list(parts) for _, parts in itertools.groupby(here, key=lambda packed: packed[1]))
    if run:
        yield run


def points_in_force(stored: Iterable[Part]) -> Iterator[Part]:
    """Yield the points by chunk, without those of frames that a higher layer has; names become ids."""
    for chunk, group in itertools.groupby(stored, key=lambda part: part[0]):
        parts = sorted(group, key=lambda part: -rank_of(part[1]))
        if rank_of(parts[0][1]) == 0:
            yield from parts
            continue
        read = np.empty(0, np.int64)  # frames
        for _, name, points in parts:
            frames = (points.event_time % CHUNK_US << 32) | points.frame
            kept = np.isin(frames, read, invert=True)
            if kept.any():
                yield chunk, schema_of_name(name), _rows(points, kept)
            if rank_of(name) > 0:
                read = np.concatenate([read, frames])


def buckets_in_force(
    stored: Mapping[str, Buckets], step: int, points: Callable[[int, int], Iterable[Part]]
) -> Iterator[tuple[str, Buckets]]:
    """(schema id, sums), each id once, by time; a bucket that a layer has in part is summed anew from its points.

    A layer has at most one reading for each that the workers stored: where it counts as many, it has them all.

    Args:
        stored: the sums of a stretch by name, none empty.
        step: length of a bucket, µs.
        points: those in force of [begin, end), uncut.
    """
    if not any(map(rank_of, stored)):
        yield from stored.items()
        return
    begins = np.unique(np.concatenate([part.begin for part in stored.values()]))
    chosen, in_part = _chosen(stored, begins)
    found: dict[str, list[Buckets]] = {}
    for name, mask in chosen.items():
        part = stored[name]
        found.setdefault(schema_of_name(name), []).append(_rows(part, np.isin(part.begin, begins[mask])))
    for begin, end in _runs(begins[in_part], step):
        for _, schema, columns in points(begin, end):
            found.setdefault(schema, []).append(_summed(columns, begin, end, step))
    for schema, parts in found.items():
        joined = _joined(parts)
        if len(joined):
            yield schema, joined


def _chosen(stored: Mapping[str, Buckets], begins: NDArray[np.int64]) -> tuple[dict[str, Mask], Mask]:
    """Return per name which buckets to use, and which to sum anew because the highest layer has them in part."""
    counts = {name: _counts(part, begins) for name, part in stored.items()}
    workers = sum((each for name, each in counts.items() if rank_of(name) == 0), np.zeros(len(begins), np.int64))
    is_open, in_part = np.ones(len(begins), np.bool_), np.zeros(len(begins), np.bool_)
    chosen = {}
    for name in sorted((name for name in stored if rank_of(name)), key=rank_of, reverse=True):
        is_there = is_open & (counts[name] > 0)
        chosen[name] = is_there & (counts[name] >= workers)
        in_part |= is_there & ~chosen[name]
        is_open &= ~is_there
    return chosen | {name: is_open for name in stored if rank_of(name) == 0}, in_part


def _counts(part: Buckets, begins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many readings each of the buckets holds."""
    counts = np.zeros(len(begins), np.int64)
    counts[np.searchsorted(begins, part.begin)] = part.count
    return counts


def _runs(begins: NDArray[np.int64], step: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of the buckets that follow each other."""
    for run in np.split(begins, np.flatnonzero(np.diff(begins) > step) + 1):
        if len(run):
            yield int(run[0]), int(run[-1]) + step


def _summed(points: Columns, begin: int, end: int, step: int) -> Buckets:
    """Return the buckets of points of one schema in [begin, end), sorted by time."""
    low, high = np.searchsorted(points.event_time, (begin, end))
    here = _rows(points, slice(int(low), int(high)))
    if not len(here):
        return Buckets(here.event_time, here.event_time, np.empty(0), np.empty((0, here.values.shape[1])))
    # In whole steps, so that it is what the store would have kept.
    sums = sums_of_points(here, np.arange(begin, end + 1, step))
    return Buckets(begin + sums.place * step, sums.count, sums.quality / SHARE_STEP, sums.values / VALUE_STEP)


def _joined(parts: Sequence[Buckets]) -> Buckets:
    """Return the buckets of one schema, sorted by time; one may come twice."""
    order = np.argsort(np.concatenate([part.begin for part in parts]), kind="stable")
    columns = (field.name for field in dataclasses.fields(Buckets))
    return Buckets(*(np.concatenate([getattr(part, column) for part in parts])[order] for column in columns))


def _rows(table: T, rows: Mask | slice) -> T:
    return dataclasses.replace(
        table, **{field.name: getattr(table, field.name)[rows] for field in dataclasses.fields(table)}
    )
