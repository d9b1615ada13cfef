"""Rows for data frames: one table of readings, one of what was asked for, one of gaps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mien.output.contents import Contents, name_of
from mien.output.document import RUN_SCHEMA
from mien.timelines import Block, Channel, Timeline
from query.store import Session
from query.tables import Cells, Column, Kind, Rows, Table, table_of

_TEXTS = ("source", "session", "person", "name")
_PX, _DEGREES = "px of the upright picture", "degrees"
_READING = (
    *(Column(name, Kind.TEXT) for name in _TEXTS),
    Column("t", Kind.NUMBER, "seconds since the first frame"),
    Column("frame", Kind.INTEGER),
    *(Column(name, Kind.SHARE, _PX) for name in ("x", "y", "width", "height")),
    *(Column(name, Kind.SHARE, "0..1") for name in ("quality", "sharpness", "score")),
    *(Column(name, Kind.SHARE, _DEGREES) for name in ("yaw_deg", "pitch_deg", "roll_deg")),
)
_SOURCE = (
    *(Column(name, Kind.TEXT) for name in ("source", "session", "name", "file", "state", "reason", "recorded_at")),
    Column("start_offset", Kind.NUMBER, "seconds of the first frame on a player's clock"),
    Column("duration", Kind.NUMBER, "seconds"),
    Column("fps", Kind.NUMBER, "frames per second"),
    *(Column(name, Kind.INTEGER, "px") for name in ("width", "height")),
    *(Column(name, Kind.INTEGER) for name in ("frames", "looked_at", "people", "readings", "low_quality")),
    Column("settings", Kind.TEXT),
)
_GAP = (
    *(Column(name, Kind.TEXT) for name in ("source", "session", "name")),
    *(Column(name, Kind.NUMBER, "seconds since the first frame") for name in ("from", "to")),
    Column("reason", Kind.TEXT),
    Column("faces", Kind.INTEGER),
)


def reading_rows(contents: Contents) -> Rows:
    """A row per person and frame in which they were seen."""
    channels = tuple(dict.fromkeys(c for _, people in contents.sessions for each in people for c in each.channels))
    columns = (*_READING, *(Column(name, Kind.SHARE, "0..1") for _, name in channels))
    return Rows(columns, _readings(contents, columns, channels), _metadata(contents))


def source_rows(contents: Contents) -> Rows:
    """A row per video, picture or camera's session, and per file that was asked for and not looked at."""
    return _rows(_SOURCE, contents.source_rows(), contents)


def gap_rows(contents: Contents) -> Rows:
    """A row per stretch that was not looked at, or in which faces were left out."""
    return _rows(_GAP, contents.gap_rows(), contents)


def _rows(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], contents: Contents) -> Rows:
    tables = (table_of(columns, some) for some in _some(rows, 1000))
    return Rows(tuple(columns), tables, _metadata(contents))


def _some(rows: Iterable[Mapping[str, Any]], count: int) -> Iterator[list[Mapping[str, Any]]]:
    held: list[Mapping[str, Any]] = []
    for row in rows:
        held.append(row)
        if len(held) == count:
            yield held
            held = []
    if held:
        yield held


def _metadata(contents: Contents) -> dict[str, Any]:
    settings = {session.source: dict(session.settings) for session, _ in contents.sessions if session.settings}
    return {"schema": RUN_SCHEMA, "model": contents.model(), "settings": settings}


def _readings(contents: Contents, columns: tuple[Column, ...], channels: Sequence[Channel]) -> Iterator[Table]:
    for session, people in contents.sessions:
        for timeline in people:
            for block in timeline.blocks():
                yield Table(columns, tuple(_cells(session, timeline, block, channels)))


def _cells(session: Session, timeline: Timeline, block: Block, channels: Sequence[Channel]) -> Iterator[Cells]:
    points, count = block.points, len(block)
    for text in (session.source, session.id, timeline.person.id, name_of(session)):
        yield [text] * count
    yield np.round(block.time_s, 6)
    yield points.frame
    yield from np.round(points.box_xywh, 2).T
    yield from (np.round(each, 3) for each in (points.quality, points.sharpness, points.score))
    yield from points.angles_deg.T
    nothing = np.full(count, np.nan, np.float32)
    yield from (block.values.get(channel, nothing) for channel in channels)
