"""Episodes: stretches in which a value rises over a threshold and stays, with onset, apex and offset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When an episode begins, ends and counts.

    Args:
        on: it begins with the first reading of at least this value.
        off: it ends with the first reading below this one, which is not above `on`: noise between them cuts nothing.
        least_s: shorter ones are left out.
        hole_s: readings farther apart do not belong together: nobody knows what the face did between them.

    Raises:
        BadRequest: off above on, or a length that is negative.
    """

    on: float
    off: float
    least_s: float = 0.0
    hole_s: float = 0.5

    def __post_init__(self) -> None:
        if not self.off <= self.on:
            raise BadRequest(f"off={self.off:g} lies above on={self.on:g}; wanted off ≤ on")
        if self.least_s < 0 or self.hole_s <= 0:
            raise BadRequest(f"lengths of {self.least_s:g} s and {self.hole_s:g} s; wanted 0 or more, and more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Times in seconds; `cut` says at which end only the readings end, not the episode: none, onset, offset, both."""

    onset: float
    apex: float
    offset: float
    peak: float
    mean: float
    readings: int
    cut: str


def episodes(t: NDArray[np.float64], values: NDArray[np.floating], rule: Rule) -> list[Episode]:
    """Return the episodes of a value (n,) at rising times t (n,) in seconds; NaN is no reading."""
    known = np.isfinite(values)
    t, shown = t[known], values[known].astype(np.float64)
    if not len(t):
        return []
    begins = np.diff(t, prepend=-np.inf) > rule.hole_s  # the first reading behind a hole
    state = np.where(shown >= rule.on, 1, np.where(shown < rule.off, 0, -1))  # -1: as before
    state[begins & (state < 0)] = 0
    last_sure = np.maximum.accumulate(np.where(state >= 0, np.arange(len(t)), 0))
    is_on = state[last_sure] == 1
    ends = np.append(begins[1:], True)
    first = np.flatnonzero(is_on & (begins | ~np.concatenate([[False], is_on[:-1]])))
    last = np.flatnonzero(is_on & (ends | ~np.append(is_on[1:], False)))
    step = float(np.median(np.diff(t)[np.diff(t) <= rule.hole_s])) if (~begins[1:]).any() else 0.0
    found = [_episode(t, shown, begins, ends, int(a), int(b), step) for a, b in zip(first, last, strict=True)]
    return [each for each in found if each.offset - each.onset >= rule.least_s - 1e-9]


def _episode(
    t: NDArray[np.float64],
    values: NDArray[np.float64],
    begins: NDArray[np.bool_],
    ends: NDArray[np.bool_],
    first: int,
    last: int,
    step: float,
) -> Episode:
    here = values[first : last + 1]
    apex = first + int(np.argmax(here))
    cut = {(False, False): "none", (True, False): "onset", (False, True): "offset", (True, True): "both"}
    return Episode(
        onset=float(t[first]),
        apex=float(t[apex]),
        offset=float(t[last] + step if ends[last] else t[last + 1]),
        peak=float(values[apex]),
        mean=float(here.mean()),
        readings=last - first + 1,
        cut=cut[bool(begins[first]), bool(ends[last])],
    )
