"""From readings to the values that were asked for: formulas, differences to a baseline, statistics of buckets."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from query.analysis.baseline import Baseline
from query.analysis.formula import Formula
from query.timeline.page import Statistic

Columns = Mapping[str, NDArray[np.floating]]


def derived(columns: Columns, formulas: tuple[Formula, ...], rows: int) -> dict[str, NDArray[np.float32]]:
    """Return the values (rows,) of formulas over columns (rows,); a channel that was not measured has none."""
    nothing = np.full(rows, np.nan)
    found = {}
    for formula in formulas:
        given = {name: columns.get(name, nothing) for name in formula.channels}
        found[formula.name] = np.broadcast_to(formula(given), (rows,)).astype(np.float32)
    return found


def offsets(baseline: Baseline | None, names: tuple[str, ...], formulas: tuple[Formula, ...]) -> NDArray[np.float32]:
    """Return what is taken off each channel and formula, (columns,): a formula's value at the baseline."""
    if baseline is None:
        return np.zeros(len(names) + len(formulas), np.float32)
    at_rest = {name: np.array([baseline.values.get(name, np.nan)]) for name in {*names, *_inner(formulas)}}
    own = [float(at_rest[name][0]) for name in names]
    return np.array([*own, *(float(formula(at_rest)[0]) for formula in formulas)], np.float32)


class Extremes:
    """Smallest or largest value, or share at or above a threshold, of each bucket and column, part by part.

    Args:
        statistic: MIN, MAX or SHARE.
        threshold: of SHARE.
        shape: (buckets, columns).
    """

    def __init__(self, statistic: Statistic, threshold: float, shape: tuple[int, int]) -> None:
        self._statistic, self._threshold = statistic, np.float32(threshold - 1e-6)  # half a step of the packing
        self._found = np.full(shape, np.nan, np.float32)
        self._above, self._read = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    def add(self, place: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Count readings: values (n, columns), NaN where there is none, in buckets `place` (n,), rising."""
        if not len(place):
            return
        first = np.flatnonzero(np.diff(place, prepend=-1))
        at = place[first]
        if self._statistic is Statistic.SHARE:
            with np.errstate(invalid="ignore"):
                self._above[at] += np.add.reduceat((values >= self._threshold).astype(np.int64), first, axis=0)
            self._read[at] += np.add.reduceat(np.isfinite(values).astype(np.int64), first, axis=0)
            return
        function = np.fmax if self._statistic is Statistic.MAX else np.fmin
        self._found[at] = function(self._found[at], function.reduceat(values, first, axis=0))

    def result(self) -> NDArray[np.float32]:
        """Return (buckets, columns); NaN where nothing was read."""
        if self._statistic is not Statistic.SHARE:
            return self._found
        with np.errstate(invalid="ignore"):
            return (self._above / self._read).astype(np.float32)


def _inner(formulas: tuple[Formula, ...]) -> set[str]:
    return {name for formula in formulas for name in formula.channels}
