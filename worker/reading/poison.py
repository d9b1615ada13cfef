"""Unreadable records: isolates, reports and counts them, and stops when there are too many to be an accident."""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from contract.errors import MienError, TooManyRejected
from contract.readings import Skipped, SkippedReason
from contract.records import Crop, Delivery, Face, Unreadable
from worker.reading.reader import Values

NOT_FINITE = "the nets give numbers that are not finite"
REASON_LIMIT = 300  # characters; an engine's message may hold a page


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One delivery that cannot be read: where it lies, why, and a hash to recognise it by. Never its content."""

    log: str
    partition: int
    offset: int  # with log and partition: the identity, the same for every repetition
    reason: str  # one line
    key: str  # the source, or the message's key as text where no source can be read
    sha256: str
    size: int  # bytes


Reject = Callable[[Sequence[Rejection]], None]
"""Tells somebody of rejections; returns when they are kept, raises LogUnavailable where they cannot be for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many records in a row, or of the last ones, may be rejected before the worker stops."""

    consecutive: int = 100
    share: float = 0.5  # of the last `window`, once there are as many
    window: int = 200


class RejectLimit:
    """Counts what could be read and what could not, in the order of the log."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._last: deque[bool] = deque(maxlen=limits.window)
        self._rejected = 0  # among the last
        self._in_a_row = 0

    def note(self, rejected: bool, reason: str = "") -> None:
        """Count one more.

        Raises:
            TooManyRejected: a limit is reached; nothing of the batch in hand may be committed.
        """
        if len(self._last) == self._limits.window:
            self._rejected -= self._last[0]
        self._last.append(rejected)
        self._rejected += rejected
        self._in_a_row = self._in_a_row + 1 if rejected else 0
        if self._in_a_row >= self._limits.consecutive:
            raise TooManyRejected(f"{self._in_a_row} rejected one after the other, the last one: {reason}")
        if len(self._last) == self._limits.window and self._rejected > self._limits.share * self._limits.window:
            raise TooManyRejected(
                f"{self._rejected} of the last {self._limits.window} rejected, wanted at most"
                f" {self._limits.share:.0%}; the last one: {reason}"
            )


def read_isolating(
    read: Callable[[Sequence[Crop]], Values],
    crops: Sequence[Crop],
    watching: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> list[Values | str]:
    """Return the reading (channels,) of each crop, or one line with the reason why it has none.

    A crop that makes the nets fail is found by halving; one with readings that are not finite has none either.

    Args:
        watching: entered while the nets read.

    Raises:
        MienError: EngineFailed above all; the fault is the engine's, not the crop's.
    """
    if not crops:
        return []
    try:
        with watching():
            values = read(crops)
    except (MienError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a crop makes a net do is the crop's fault until all do it
        if len(crops) == 1:
            return [f"the nets fail on it: {type(error).__name__}: {error}"]
        half = len(crops) // 2
        return read_isolating(read, crops[:half], watching) + read_isolating(read, crops[half:], watching)
    finite = np.logical_and.reduce(np.isfinite(values), axis=1)  # (N,)
    return [row if fine else NOT_FINITE for row, fine in zip(values, finite, strict=True)]


def rejection(delivery: Delivery, reason: str) -> Rejection:
    """The rejection of a delivery that cannot be read."""
    record = delivery.record
    if isinstance(record, Unreadable):
        key, sha256, size = record.key, record.sha256, record.size
    else:
        body = _bytes_of(record.crop) if isinstance(record, Face) else repr(record).encode()
        key, sha256, size = record.source, hashlib.sha256(body).hexdigest(), len(body)
    line = " ".join(reason.split())[:REASON_LIMIT]
    return Rejection(
        log=delivery.log,
        partition=delivery.partition,
        offset=delivery.offset,
        reason=line,
        key=key,
        sha256=sha256,
        size=size,
    )


def skipped_face(face: Face, reason: SkippedReason) -> Skipped:
    """The entry of a face that is not read: its moment becomes a gap."""
    return Skipped(
        reason=reason,
        source=face.source,
        session=face.session,
        sequence=face.sequence,
        gap=(face.event_time, face.event_time + 1),
    )


def _bytes_of(crop: Crop) -> bytes:
    return crop if isinstance(crop, bytes) else np.ascontiguousarray(crop).tobytes()
