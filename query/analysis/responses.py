"""Reactions to events: values around markers, corrected by what they were before, over events and people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest

COVERED = 0.5  # share of the window's bins that must hold a reading for the event to count
DRAWS = 2_000
MOST_BINS = 10_000


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` to `end` around a marker in bins of `step`, s; what lies before 0 is the baseline.

    Raises:
        BadRequest: it does not reach from before the marker to behind it, or has no sensible number of bins.
    """

    begin: float
    end: float
    step: float

    def __post_init__(self) -> None:
        if not self.begin < 0 < self.end or not self.step > 0:
            raise BadRequest(f"window={self.begin:g}..{self.end:g}: wanted from before the marker to behind it: -1..5")
        if not 2 <= (self.end - self.begin) / self.step <= MOST_BINS or -self.begin < self.step:
            raise BadRequest(
                f"window={self.begin:g}..{self.end:g} by {self.step:g} s; wanted 2 to {MOST_BINS} bins, one before 0"
            )

    @property
    def bins(self) -> NDArray[np.float64]:
        """Begins of the bins, (bins,) s after the marker; one begins at 0."""
        before = int(np.floor(-self.begin / self.step + 1e-9))
        behind = int(np.floor(self.end / self.step + 1e-9))
        return np.arange(-before, behind) * np.float64(self.step)


@dataclass(frozen=True, slots=True)
class Response:
    """Mean over people of their mean over events, and its 95 % interval; (bins,) each, NaN where nothing is known.

    `events` counts those with coverage, of `asked`; `people` those with such an event.
    """

    t: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    people: int
    events: int
    asked: int


def locked(
    t: NDArray[np.float64], values: NDArray[np.floating], markers: Sequence[float], window: Window
) -> NDArray[np.float64]:
    """Return baseline-corrected means around each marker, (markers, bins); a row of NaN where coverage is too low."""
    bins = window.bins
    edges = np.append(bins, bins[-1] + window.step)
    known = np.isfinite(values)
    t, values = t[known], values[known].astype(np.float64)
    rows = np.full((len(markers), len(bins)), np.nan)
    for row, marker in enumerate(markers):
        low, high = np.searchsorted(t, (marker + edges[0] - 1e-9, marker + edges[-1] - 1e-9))
        place = np.floor((t[low:high] - marker - edges[0]) / window.step + 1e-6).astype(int)
        place = np.clip(place, 0, len(bins) - 1)
        count = np.bincount(place, minlength=len(bins))
        with np.errstate(invalid="ignore"):
            mean = np.bincount(place, values[low:high], len(bins)) / count
        before = mean[bins < -1e-9]
        if (count > 0).mean() >= COVERED and np.isfinite(before).any():
            rows[row] = mean - np.nanmean(before)
    return rows


def response(rows: Mapping[str, NDArray[np.float64]], window: Window, seed: int = 0) -> Response:
    """Return the mean response; `rows` holds what `locked` gave for each person.

    The interval is a bootstrap over people, over the events of one person where there is one alone.
    """
    kept = {name: each[np.isfinite(each).any(axis=1)] for name, each in rows.items()}
    kept = {name: each for name, each in kept.items() if len(each)}
    bins = window.bins
    empty = np.full(len(bins), np.nan)
    asked = sum(map(len, rows.values()))
    if not kept:
        return Response(bins, empty, empty, empty, 0, 0, asked)
    units = np.stack([_mean(each) for each in kept.values()]) if len(kept) > 1 else next(iter(kept.values()))
    draws = np.random.default_rng(seed).integers(len(units), size=(DRAWS, len(units)))
    known = np.isfinite(units)
    filled = np.where(known, units, 0)
    means = np.empty((DRAWS, len(bins)))
    for draw, chosen in enumerate(draws):
        with np.errstate(invalid="ignore"):
            means[draw] = filled[chosen].sum(axis=0) / known[chosen].sum(axis=0)
    low, high = _interval(means) if len(units) > 1 else (empty, empty)
    return Response(bins, _mean(units), low, high, len(kept), sum(map(len, kept.values())), asked)


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(rows)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, rows, 0).sum(axis=0) / known.sum(axis=0))


def _interval(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    some = np.isfinite(means).all(axis=0)
    low, high = np.full((2, means.shape[1]), np.nan)
    low[some], high[some] = np.percentile(means[:, some], [2.5, 97.5], axis=0)
    return low, high
