"""A person's stretch in one row: what share of it the face was seen, and what it showed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.labels import EXPRESSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a face showed.

    `top` is the share of readings in which an expression was the highest; `transitions` counts changes of it between
    neighbouring readings.
    """

    readings: int
    means: Mapping[str, float]
    peaks: Mapping[str, float]
    top: Mapping[str, float]
    transitions: int


def shown(t: NDArray[np.float64], columns: Mapping[str, NDArray[np.floating]], hole_s: float) -> Shown:
    """Return what columns (n,) at rising times t (n,), s, add up to; across a hole nothing counts as a transition."""
    with np.errstate(all="ignore"):
        known = {name: values[np.isfinite(values)] for name, values in columns.items()}
    top, changes = _tops(t, columns, hole_s)
    return Shown(
        readings=len(t),
        means={name: float(values.mean(dtype=np.float64)) if len(values) else np.nan for name, values in known.items()},
        peaks={name: float(values.max()) if len(values) else np.nan for name, values in known.items()},
        top=top,
        transitions=changes,
    )


def _tops(
    t: NDArray[np.float64], columns: Mapping[str, NDArray[np.floating]], hole_s: float
) -> tuple[dict[str, float], int]:
    names = [name for name in EXPRESSIONS if name in columns]
    if not names or not len(t):
        return {}, 0
    values = np.stack([columns[name] for name in names])  # (expressions, n)
    read = np.isfinite(values).any(axis=0)
    highest = np.argmax(np.where(np.isfinite(values[:, read]), values[:, read], -np.inf), axis=0)
    near = np.diff(t[read]) <= hole_s
    counts = np.bincount(highest, minlength=len(names))
    shares = counts / max(1, counts.sum())
    return dict(zip(names, map(float, shares), strict=True)), int(((np.diff(highest) != 0) & near).sum())
