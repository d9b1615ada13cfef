"""Whether a batch may be applied at all: every store asks before its first write."""

import math
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.points import packed
from contract.readings import Entry, Passed, PassedReason, Point, ReadingSchema
from contract.records import Erase, Gap, Progress, SessionOpened

INT64_MAX = 2**63 - 1
_NOTHING = (None,) * 4
_FLOAT32 = np.dtype(np.float32)


class BadBatch(Exception):
    """A batch that no store applies; the text says why. Internal: stores answer `Outcome.REFUSED`."""


def checked(
    entries: Sequence[Entry], schema: ReadingSchema, previous_offset: int, next_offset: int
) -> NDArray[np.void]:
    """The packed rows of the points among the entries, in order.

    Raises:
        BadBatch: not one entry per offset, an entry of no known type, a field out of its range.
    """
    if not 0 <= previous_offset < next_offset:
        raise BadBatch(f"offsets {previous_offset}..{next_offset} are no stretch of a log")
    if len(entries) != next_offset - previous_offset:
        raise BadBatch(f"{len(entries)} entries for the {next_offset - previous_offset} offsets from {previous_offset}")
    points = [entry for entry in entries if type(entry) is Point]
    others = [entry for entry in entries if type(entry) is not Point]
    if flaw := next(filter(None, map(_flaw, others)), None) or _flaw_of_points(points, len(schema.channels)):
        raise BadBatch(f"offsets {previous_offset}..{next_offset}: {flaw}")
    try:
        return packed(points)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadBatch(f"offsets {previous_offset}..{next_offset}: {error}") from error


def _flaw_of_points(points: Sequence[Point], channels: int) -> str | None:
    """What is wrong with any of the points, looked at column by column; None: nothing."""
    if not points:
        return None
    if flaw := _flaw_of_names(points):
        return flaw
    for wanted, numbers in (
        ("sequences from 0 on", [point.sequence for point in points]),
        ("frames from 0 on", [point.frame for point in points]),
        ("event times in µs", [point.event_time for point in points]),
    ):
        lowest = -INT64_MAX if wanted.startswith("event") else 0
        if set(map(type, numbers)) != {int} or min(numbers) < lowest or max(numbers) > INT64_MAX:
            return f"{numbers}, wanted {wanted}"
    arrays = [point.values for point in points]
    seen = set(map(type, arrays))
    if seen != {np.ndarray}:
        return f"values are {seen}, wanted arrays"
    if {array.dtype for array in arrays} != {_FLOAT32} or {array.size for array in arrays} != {channels}:
        shapes = {(array.dtype.kind, array.shape) for array in arrays}
        if shapes != {("f", (channels,))}:
            return f"values are {shapes}, the reading schema wants floats ({channels},)"
    pictures = {type(point.picture) for point in points}
    return None if pictures <= {bytes, NoneType} else f"pictures are {pictures}, wanted JPEG bytes"


def _flaw_of_names(points: Sequence[Point]) -> str | None:
    names = {point.source for point in points}
    names.update([point.session for point in points])
    names.update([point.person for point in points])
    return None if all(map(_is_name, names)) else f"sources, sessions and people named {sorted(map(repr, names))}"


def _flaw(entry: Entry) -> str | None:
    """What is wrong with an entry that is no point; None: nothing."""
    if type(entry) not in _FLAWS:
        return f"{type(entry).__name__} is no entry of a timeline"
    if isinstance(entry, Passed) and (entry.source, entry.session, entry.sequence, entry.gap) == _NOTHING:
        return _FLAWS[Passed](entry)  # its record says not even whose it is
    if not (_is_name(entry.source) and _is_name(entry.session) and _is_count(entry.sequence)):
        return f"source {entry.source!r}, session {entry.session!r}, sequence {entry.sequence!r} name no record"
    return _FLAWS[type(entry)](entry)


def _flaw_of_opening(opened: SessionOpened) -> str | None:
    rates = [rate for rate in (opened.fps, opened.sample_hz) if rate is not None]
    if not (_is_time(opened.event_time) and all(_is_count(edge) for edge in opened.size_wh)):
        return f"event time {opened.event_time!r} or size {opened.size_wh!r} is no number in range"
    return None if all(math.isfinite(rate) for rate in rates) else f"rates {rates} are not finite"


def _flaw_of_gap(gap: Gap) -> str | None:
    in_order = _is_time(gap.begin) and _is_time(gap.end) and gap.begin <= gap.end
    return None if in_order else f"a gap from {gap.begin!r} to {gap.end!r}"


def _flaw_of_progress(progress: Progress) -> str | None:
    in_range = _is_time(progress.event_time) and _is_count(progress.frames) and _is_count(progress.looked_at)
    return None if in_range else f"progress to {progress.event_time!r}, {progress.frames!r} frames"


def _flaw_of_passed(passed: Passed) -> str | None:
    if type(passed.reason) is not PassedReason:
        return f"passed over for {passed.reason!r}, wanted one of {[str(reason) for reason in PassedReason]}"
    if passed.gap is None:
        return None
    begin, end = passed.gap
    return None if _is_time(begin) and _is_time(end) and begin <= end else f"a gap from {begin!r} to {end!r}"


def _flaw_of_erasure(erase: Erase) -> str | None:
    return None if _is_name(erase.person) else f"person {erase.person!r} is no name"


_FLAWS: dict[type, Callable[[Any], str | None]] = {
    SessionOpened: _flaw_of_opening,
    Gap: _flaw_of_gap,
    Progress: _flaw_of_progress,
    Erase: _flaw_of_erasure,
    Passed: _flaw_of_passed,
}


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or value == "":
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)  # no UTF-8 for half a letter


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= INT64_MAX


def _is_time(value: object) -> bool:
    return isinstance(value, int) and -INT64_MAX <= value <= INT64_MAX
