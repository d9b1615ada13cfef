"""Sums readings over the buckets of a page, from the points or from what the store has summed: the same numbers.

Sums count in whole steps of the packing, so that no order of adding and no place of rounding shows in a mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.buckets import Buckets
from contract.keys import BUCKET_LEVELS_S
from contract.points import SHARE_STEP, VALUE_STEP, Columns

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Sums:
    """What the readings of one schema add up to, for each bucket that holds any."""

    place: NDArray[np.int64]  # (n,) of the bucket on its page, rising
    count: NDArray[np.int64]  # (n,)
    quality: NDArray[np.float64]  # (n,) whole steps of 1/255
    values: NDArray[np.float64]  # (n, channels) whole steps of 1/65,535


def level_for(edges: NDArray[np.int64]) -> int | None:
    """Return the longest level of kept buckets, in seconds, that these buckets are made of; None: there is none.

    `edges` (buckets + 1,), µs; the last bucket may be cut anywhere.
    """
    fitting = (level for level in BUCKET_LEVELS_S if not (edges[:-1] % (level * SECOND_US)).any())
    return max(fitting, default=None)


def sums_of_points(part: Columns, edges: NDArray[np.int64]) -> Sums:
    """Return the sums over buckets of at least one point; points must be sorted by time."""
    # Half precision errors of float32 are a hundredth of a step: rounding gives back what was packed.
    return _summed(part.event_time, np.ones(len(part), np.int64), part.quality, part.values, edges)


def sums_of_buckets(kept: Buckets, edges: NDArray[np.int64]) -> Sums:
    """Return the sums of at least one kept bucket, by time, each of them in one bucket of the page."""
    return _summed(kept.begin, kept.count, kept.quality, kept.values, edges)


def _summed(
    times: NDArray[np.int64],
    count: NDArray[np.int64],
    quality: NDArray[np.floating],
    values: NDArray[np.floating],
    edges: NDArray[np.int64],
) -> Sums:
    place = np.searchsorted(edges, times, "right") - 1
    first = np.flatnonzero(np.diff(place, prepend=-1))
    steps, shares = values.dtype.type(VALUE_STEP), quality.dtype.type(SHARE_STEP)
    return Sums(
        place=place[first],
        count=np.add.reduceat(count, first),
        quality=np.add.reduceat(np.rint(quality * shares), first, dtype=np.float64),
        values=np.add.reduceat(np.rint(values * steps), first, axis=0, dtype=np.float64),
    )
