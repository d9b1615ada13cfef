"""Readings summed over the buckets of a page, from the points or from what the store has summed: the same numbers.

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


def level_for(begin: int, every: int) -> int | None:
    """The longest level of kept buckets, in seconds, that these buckets are made of; None: there is none."""
    fitting = (level for level in BUCKET_LEVELS_S if begin % (level * SECOND_US) == every % (level * SECOND_US) == 0)
    return max(fitting, default=None)


def sums_of_points(part: Columns, begin: int, every: int) -> Sums:
    """The sums of points, not none, by event time."""
    # Half precision errors of float32 are a hundredth of a step: rounding gives back what was packed.
    return _summed(part.event_time, np.ones(len(part), np.int64), part.quality, part.values, begin, every)


def sums_of_buckets(kept: Buckets, begin: int, every: int) -> Sums:
    """The sums of kept buckets, not none, by time, each of them in one bucket of the page."""
    return _summed(kept.begin, kept.count, kept.quality, kept.values, begin, every)


def _summed(
    times: NDArray[np.int64],
    count: NDArray[np.int64],
    quality: NDArray[np.floating],
    values: NDArray[np.floating],
    begin: int,
    every: int,
) -> Sums:
    place = (times - begin) // every
    first = np.flatnonzero(np.diff(place, prepend=-1))
    steps, shares = values.dtype.type(VALUE_STEP), quality.dtype.type(SHARE_STEP)
    return Sums(
        place=place[first],
        count=np.add.reduceat(count, first),
        quality=np.add.reduceat(np.rint(quality * shares), first, dtype=np.float64),
        values=np.add.reduceat(np.rint(values * steps), first, axis=0, dtype=np.float64),
    )
