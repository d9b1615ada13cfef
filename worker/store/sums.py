"""What packed points add to the buckets of their chunks."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.buckets import SECOND_US
from contract.keys import BUCKET_LEVELS_S
from contract.points import CHUNK_US

FINEST_S = min(BUCKET_LEVELS_S)

Added = tuple[int, int, int]
"""(place of the level among BUCKET_LEVELS_S, number of the bucket within its chunk, row of the sums)"""


def bucket_sums(rows: NDArray[np.void], counts: Sequence[int]) -> tuple[NDArray[np.uint64], list[list[Added]]]:
    """Sums as `contract.buckets` packs them, one row each, and what they are, per chunk.

    Args:
        rows: of all chunks, one chunk behind the other.
        counts: of the rows of each chunk.
    """
    values = rows["values"]
    terms = np.empty((len(rows), 2 + values.shape[1]), "<u8")
    terms[:, 0] = 1
    terms[:, 1] = rows["quality"]
    terms[:, 2:] = values
    starts = np.array([0, *itertools.accumulate(counts[:-1])])
    bucket = rows["dt_us"] // (FINEST_S * SECOND_US)
    first = np.minimum.reduceat(bucket, starts).tolist()
    if first == np.maximum.reduceat(bucket, starts).tolist():
        # most commits are shorter than the finest bucket: one sum for all levels
        return np.add.reduceat(terms, starts, axis=0), [
            [(place, number * FINEST_S // level, row) for place, level in enumerate(BUCKET_LEVELS_S)]
            for row, number in enumerate(first)
        ]
    return _sums_of_many(rows["dt_us"], np.repeat(np.arange(len(counts)), counts), terms)


def _sums_of_many(
    dt_us: NDArray[np.uint32], chunk: NDArray[np.int64], terms: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], list[list[Added]]]:
    """`bucket_sums` of rows whose chunks are numbered here, with several buckets to a chunk."""
    sums: list[NDArray[np.uint64]] = []
    added: list[list[Added]] = [[] for _ in range(chunk[-1] + 1)]
    row = itertools.count()
    for place, level in enumerate(BUCKET_LEVELS_S):
        per_chunk = CHUNK_US // (level * SECOND_US)
        number = chunk * per_chunk + dt_us // (level * SECOND_US)
        order = np.argsort(number, kind="stable")
        found, starts = np.unique(number[order], return_index=True)
        sums.append(np.add.reduceat(terms[order], starts, axis=0))
        for one in found.tolist():
            added[one // per_chunk].append((place, one % per_chunk, next(row)))
    return np.concatenate(sums), added
