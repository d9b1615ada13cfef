"""What was asked of a timeline, and a page of it."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from contract.readings import Channel, ReadingSchema
from query.analysis.baseline import Baseline
from query.analysis.formula import Formula, Selection
from query.store import GapSpan


class Statistic(StrEnum):
    """What a bucket holds of its readings."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    SHARE = "share"  # of readings at or above a threshold


class EmptyReason(StrEnum):
    """Why a bucket holds no reading, besides the reasons of gaps."""

    ABSENT = "absent"  # the source was looked at and this face was not found
    UNSAMPLED = "unsampled"  # shorter than the step between two frames: no frame fell into it
    PENDING = "pending"  # not looked at yet
    OUTSIDE = "outside"  # before the first frame or after the last


@dataclass(frozen=True, slots=True)
class ModelSpan:
    """A reading schema and the event times of the first and last point it made on this page; µs."""

    schema: ReadingSchema
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of a timeline: a row per point, or a row per bucket, which holds `n` points from `event_time` on."""

    begin: int
    end: int  # as asked; the page may stop before it, see `next_time`
    every: int | None  # µs; None: points
    event_time: NDArray[np.int64]  # (rows,)
    n: NDArray[np.int64] | None  # (rows,)
    why: list[str | None] | None  # per bucket; None where n > 0
    coverage: NDArray[np.float32] | None  # (rows,) share of a bucket that was looked at
    frame: NDArray[np.int64] | None
    box_xywh: NDArray[np.float32] | None  # (rows, 4)
    quality: NDArray[np.float32]  # (rows,); NaN where n is 0
    channels: tuple[Channel, ...]
    values: NDArray[np.float32]  # (rows, channels); NaN where no net measured it
    formulas: dict[str, NDArray[np.float32]]  # name -> (rows,)
    baseline: Baseline | None  # what was taken off the values
    models: tuple[ModelSpan, ...]
    gaps: tuple[GapSpan, ...]
    next_time: int | None

    def columns(self) -> dict[str, NDArray[np.float32]]:
        """Return all values by name, (rows,) each: channels first, then formulas."""
        return {channel.name: self.values[:, place] for place, channel in enumerate(self.channels)} | self.formulas


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for, in µs of event time."""

    person: str
    begin: int
    end: int
    every: int | None
    select: Selection = field(default_factory=Selection)
    limit: int  # rows
    statistic: Statistic = Statistic.MEAN
    threshold: float = 0.5  # of SHARE
    zone: str | None = None  # IANA name: buckets of whole days begin at its midnights
    baseline: Baseline | None = None  # taken off all values

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """Return the formulas among what was asked for."""
        return self.select.formulas
