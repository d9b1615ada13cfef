"""Whether a batch may be applied at all: every store asks before its first write."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.points import PointColumns, packed_columns, point_dtype, taken_apart
from contract.readings import Entry, Point, ReadingSchema, Skipped, SkippedReason
from contract.records import Erase, Gap, Progress, SessionOpened

INT64_MAX = 2**63 - 1
_NOTHING = (None,) * 4


class BadBatch(Exception):
    """A batch that no store applies; the text is the reason. Internal: stores return `Outcome.REFUSED`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that may be applied; the columns are those of the points among them, in order."""

    entries: Sequence[Entry]
    others: Sequence[Entry]  # those that are no points
    points: Sequence[Point]
    session: Sequence[tuple[str, str]]  # (source, session)
    sequence: Sequence[int]
    event_time: Sequence[int]
    person: Sequence[str]
    picture: Sequence[bytes | None]
    rows: NDArray[np.void]


def checked(entries: Sequence[Entry], schema: ReadingSchema, previous_offset: int, next_offset: int) -> Batch:
    """The batch, with its points packed.

    Raises:
        BadBatch: not one entry per offset, an entry of no known type, a field out of its range.
    """
    if not 0 <= previous_offset < next_offset:
        raise BadBatch(f"offsets {previous_offset}..{next_offset} are no range of a log")
    if len(entries) != next_offset - previous_offset:
        raise BadBatch(f"{len(entries)} entries for the {next_offset - previous_offset} offsets from {previous_offset}")
    points = [entry for entry in entries if type(entry) is Point]
    others = [entry for entry in entries if type(entry) is not Point]
    try:
        if flaw := next(filter(None, map(_flaw, others)), None):
            raise ValueError(flaw)
        columns = taken_apart(points)
        return Batch(
            entries=entries,
            others=others,
            points=points,
            session=list(zip(columns.source, columns.session, strict=True)),
            sequence=columns.sequence,
            event_time=columns.event_time,
            person=columns.person,
            picture=columns.picture,
            rows=_packed(columns, len(schema.channels)),
        )
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise BadBatch(f"offsets {previous_offset}..{next_offset}: {error}") from error


def _packed(columns: PointColumns, channels: int) -> NDArray[np.void]:
    """The rows of points, looked at column by column."""
    wanted = point_dtype(channels)
    if not columns.source:
        return np.empty(0, wanted)
    names = {*columns.source, *columns.session, *columns.person}
    if not all(map(_is_name, names)):
        raise ValueError(f"sources, sessions and people named {sorted(map(repr, names))}")
    for what, numbers, lowest in (
        ("sequences from 0 on", columns.sequence, 0),
        ("frames from 0 on", columns.frame, 0),
        ("event times in µs", columns.event_time, -INT64_MAX),
    ):
        if set(map(type, numbers)) != {int} or min(numbers) < lowest or max(numbers) > INT64_MAX:
            raise ValueError(f"{numbers}, wanted {what}")
    if not set(map(type, columns.picture)) <= {bytes, NoneType}:
        raise ValueError(f"pictures are {set(map(type, columns.picture))}, wanted JPEG bytes")
    rows = packed_columns(columns)
    if rows.dtype != wanted:
        raise ValueError(f"values of {rows['values'].shape[1]} channels, the reading schema has {channels}")
    return rows


def _flaw(entry: Entry) -> str | None:
    """What is wrong with an entry that is no point; None: nothing."""
    if type(entry) not in _FLAWS:
        return f"{type(entry).__name__} is no entry of a timeline"
    if isinstance(entry, Skipped) and (entry.source, entry.session, entry.sequence, entry.gap) == _NOTHING:
        return _FLAWS[Skipped](entry)  # its record says not even whose it is
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


def _flaw_of_skipped(skipped: Skipped) -> str | None:
    if type(skipped.reason) is not SkippedReason:
        return f"passed over for {skipped.reason!r}, wanted one of {[str(reason) for reason in SkippedReason]}"
    if skipped.gap is None:
        return None
    begin, end = skipped.gap
    return None if _is_time(begin) and _is_time(end) and begin <= end else f"a gap from {begin!r} to {end!r}"


def _flaw_of_erasure(erase: Erase) -> str | None:
    return None if _is_name(erase.person) else f"person {erase.person!r} is no name"


_FLAWS: dict[type, Callable[[Any], str | None]] = {
    SessionOpened: _flaw_of_opening,
    Gap: _flaw_of_gap,
    Progress: _flaw_of_progress,
    Erase: _flaw_of_erasure,
    Skipped: _flaw_of_skipped,
}


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or value == "":
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)  # no UTF-8 for half a letter


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= INT64_MAX


def _is_time(value: object) -> bool:
    return isinstance(value, int) and -INT64_MAX <= value <= INT64_MAX
