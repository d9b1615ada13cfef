"""Timelines as a file: columnar JSON (`mien.run/1`), CSV or Parquet rows. Written whole or not at all."""

import csv
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.errors import BadOutput
from contract.readings import ChannelKind, NetVersion
from mien import __version__
from mien.timelines import Timeline, seconds_since
from query.store import Session
from runtime.files import write_whole

RUN_SCHEMA = "mien.run/1"
Contents = Sequence[tuple[Session, list[Timeline]]]

_ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")


def check_writable(path: Path) -> None:
    """Find out before the work begins whether the file can be written at its end.

    Raises:
        BadOutput: unknown ending, missing folder, no permission.
    """
    if path.suffix.lower() not in _WRITERS:
        raise BadOutput(
            f"{path}: the ending says the format; wanted {', '.join(_WRITERS)}, seen {path.suffix or 'none'!r}"
        )
    if path.is_dir():
        raise BadOutput(f"{path}: is a folder, wanted a file name")
    if not path.parent.is_dir():
        raise BadOutput(f"{path}: cannot be written (there is no folder {path.parent})")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise BadOutput(f"{path}: cannot be written ({error.strerror})") from error


def write(path: Path, contents: Contents) -> None:
    """Write the sessions and their people; the ending chooses the format.

    Raises:
        BadOutput: the disk is full or the path cannot be written; an older file stays as it was.
    """
    write_whole(path, _WRITERS[path.suffix.lower()](contents))


def as_json(contents: Contents) -> bytes:
    """`mien.run/1`, documented in docs/output.md."""
    document = {
        "schema": RUN_SCHEMA,
        "model": _model([timeline for _, people in contents for timeline in people]),
        "sources": [_source(session, people) for session, people in contents],
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def _model(people: Sequence[Timeline]) -> dict[str, Any]:
    nets: dict[NetVersion, None] = {}
    for timeline in people:
        nets.update(dict.fromkeys(timeline.nets))
    return {
        "name": "+".join(net.name for net in nets) or None,
        "version": "+".join(net.version for net in nets) or None,
        "nets": [{"name": net.name, "version": net.version, "sha256": net.sha256} for net in nets],
        "mien": __version__,
    }


def _source(session: Session, people: list[Timeline]) -> dict[str, Any]:
    return {
        "source": session.source,
        "session": session.id,
        "uri": session.uri,
        "recorded_at": session.opened_at / 1e6 if session.dated else None,
        "size_wh": session.size_wh,
        "frames": session.frames,
        "looked_at": session.looked_at,
        "fps": session.fps,
        "complete_until": None if session.complete_until is None else seconds_since(session, session.complete_until),
        "finished": session.closed,
        "gaps": [
            {"from": seconds_since(session, gap.begin), "to": seconds_since(session, gap.end), "reason": gap.reason}
            for gap in session.gaps
        ],
        "people": [_person(timeline) for timeline in people],
    }


def _person(timeline: Timeline) -> dict[str, Any]:
    points = timeline.points
    return {
        "person": timeline.person.id,
        "t": np.round(timeline.time_s, 6),
        "frame": points.frame,
        "box_xywh": _rounded(points.box_xywh, 2),
        "quality": _rounded(points.quality, 3),
        "sharpness": _rounded(points.sharpness, 3),
        "score": _rounded(points.score, 3),
        "angles_deg": _rounded(points.angles_deg, 0),
        "expressions": {name: _rounded(v, 5) for name, v in timeline.of_kind(ChannelKind.EXPRESSION).items()},
        "action_units": {name: _rounded(v, 5) for name, v in timeline.of_kind(ChannelKind.ACTION_UNIT).items()},
    }


def _rounded(values: NDArray[np.float32], digits: int) -> NDArray[np.float64]:
    # In float64, so that 0.3 is written as 0.3 and not as 0.30000001192.
    return np.ascontiguousarray(np.round(values.astype(np.float64), digits))


def _columns(contents: Contents) -> dict[str, list[Any]]:
    """One list per column over all people, one row per point."""
    kinds = [(kind, name) for _, people in contents for timeline in people for kind, name in timeline.values]
    channels = list(dict.fromkeys(kinds))
    columns: dict[str, list[Any]] = {name: [] for name in _row_names(channels)}
    for session, people in contents:
        for timeline in people:
            for name, values in _rows(session, timeline, channels).items():
                columns[name].extend(values)
    return columns


def _row_names(channels: Sequence[tuple[ChannelKind, str]]) -> list[str]:
    fixed = ["source", "session", "person", "t", "frame", "x", "y", "width", "height", "quality", "sharpness", "score"]
    return [*fixed, *_ANGLES, *(name for _, name in channels)]


def _rows(
    session: Session, timeline: Timeline, channels: Sequence[tuple[ChannelKind, str]]
) -> dict[str, Sequence[Any]]:
    points, count = timeline.points, len(timeline.points)
    rows: dict[str, Sequence[Any]] = {
        "source": [session.source] * count,
        "session": [session.id] * count,
        "person": [timeline.person.id] * count,
        "t": np.round(timeline.time_s, 6).tolist(),
        "frame": points.frame.tolist(),
    }
    for index, name in enumerate(("x", "y", "width", "height")):
        rows[name] = _rounded(points.box_xywh[:, index], 2).tolist()
    for name in ("quality", "sharpness", "score"):
        rows[name] = _rounded(getattr(points, name), 3).tolist()
    for index, name in enumerate(_ANGLES):
        rows[name] = points.angles_deg[:, index].tolist()
    for channel in channels:
        values = timeline.values.get(channel)
        read = [None] * count if values is None else _rounded(values, 5).tolist()
        rows[channel[1]] = [None if value is None or value != value else value for value in read]
    return rows


def as_csv(contents: Contents) -> bytes:
    """Rows with a header line; an empty field where no net read the channel."""
    columns = _columns(contents)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


_PARQUET_UNITS = {"t": "seconds since the first frame", "x": "px", "y": "px", "width": "px", "height": "px"}


def as_parquet(contents: Contents) -> bytes:
    """Rows in one Parquet table; units and models stand in its metadata."""
    from arro3.core import Array, ChunkedArray, DataType, Field, Schema, Table
    from arro3.io import write_parquet

    texts, integers, doubles = {"source", "session", "person"}, {"frame"}, {"t"}
    columns = _columns(contents)
    fields, arrays = [], []
    for name, values in columns.items():
        kind = (
            DataType.string()
            if name in texts
            else DataType.int64()
            if name in integers
            else DataType.float64()
            if name in doubles
            else DataType.float32()
        )
        unit = _PARQUET_UNITS.get(name)
        fields.append(Field(name, kind, nullable=True, metadata={"unit": unit} if unit else None))
        arrays.append(ChunkedArray([Array(values, kind)]))
    model = _model([timeline for _, people in contents for timeline in people])
    metadata = {"mien.schema": RUN_SCHEMA, "mien.model": orjson.dumps(model).decode()}
    buffer = io.BytesIO()
    write_parquet(Table.from_arrays(arrays, schema=Schema(fields, metadata=metadata)), buffer, compression="zstd(3)")
    return buffer.getvalue()


_WRITERS: dict[str, Callable[[Contents], bytes]] = {".json": as_json, ".csv": as_csv, ".parquet": as_parquet}
