"""The packed point: how readings lie in a chunk, the same in SQLite and in Redis.

A chunk holds one person's points of one minute under one reading schema, in the order in which they were
committed; a store may keep it in several parts. Little-endian, fixed size: `POINT_HEAD` and two bytes per channel.
"""

import functools
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.readings import Point

CHUNK_US = 60_000_000
BOX_STEP = 2.0  # half pixels: i2 reaches ±16,383 px, the longest side that ingest opens
VALUE_STEP = 65_535.0
SHARE_STEP = 255.0

POINT_HEAD = [
    ("dt_us", "<u4"),  # since the start of the chunk
    ("frame", "<u4"),
    ("box_xywh", "<i2", (4,)),
    ("quality", "u1"),
    ("sharpness", "u1"),
    ("score", "u1"),
    ("yaw_deg", "i1"),
    ("pitch_deg", "i1"),
    ("roll_deg", "i1"),  # roll beyond ±127° is clipped
]
_NUMBERS = 10  # of a point's head that are rounded: the box, the shares and the angles
_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, slots=True)
class Columns:
    """A stretch of one person's timeline, one array per column, sorted by event time."""

    event_time: NDArray[np.int64]  # (n,) µs
    frame: NDArray[np.int64]  # (n,)
    box_xywh: NDArray[np.float32]  # (n, 4) px
    quality: NDArray[np.float32]  # (n,) 0..1
    sharpness: NDArray[np.float32]  # (n,) 0..1
    score: NDArray[np.float32]  # (n,) 0..1
    angles_deg: NDArray[np.float32]  # (n, 3) yaw, pitch, roll
    values: NDArray[np.float32]  # (n, channels) 0..1

    def __len__(self) -> int:
        return len(self.event_time)


@functools.lru_cache
def point_dtype(channels: int) -> np.dtype[np.void]:
    """The record layout of a schema with this many channels."""
    return np.dtype([*POINT_HEAD, ("values", "<u2", (channels,))])


def chunk_of(event_time: int) -> int:
    """Number of the minute in which an event time lies; negative before the epoch."""
    return event_time // CHUNK_US


def pack(points: Sequence[Point], chunk: int) -> bytes:
    """The bytes that append these points, all of one chunk and one schema, in the given order.

    Raises:
        ValueError: a point of another minute, or one that `packed` refuses.
    """
    for point in points:
        if chunk_of(point.face.event_time) != chunk:
            raise ValueError(f"a point of minute {chunk_of(point.face.event_time)} in the chunk of minute {chunk}")
    return packed(points).tobytes()


def packed(points: Sequence[Point]) -> NDArray[np.void]:
    """One row per point, in the given order; each counts its time from the start of its own minute.

    Boxes beyond ±16,383 px and angles beyond ±127° are clipped, shares are clipped to 0..1.

    Raises:
        ValueError: points with different numbers of channels, or a number that is not finite or not in its range.
    """
    return packed_columns(taken_apart(points)) if points else np.empty(0, point_dtype(0))


class PointColumns(NamedTuple):
    """Points taken apart: a column per field, those of box and quality in one."""

    source: Sequence[str]
    session: Sequence[str]
    sequence: Sequence[int]
    event_time: Sequence[int]
    frame: Sequence[int]
    person: Sequence[str]
    values: Sequence[NDArray[np.float32]]
    picture: Sequence[bytes | None]
    numbers: Sequence[tuple[float, ...]]  # x, y, w, h; quality, sharpness, score; yaw, pitch, roll


def taken_apart(points: Sequence[Point]) -> PointColumns:
    """The columns of points; a single comprehension, as a commit does this for every point there is."""
    if not points:
        return PointColumns(*[()] * 9)
    rows = [
        (
            f.source, f.session, f.sequence, f.event_time, f.frame, f.person, p.values, p.picture,
            (x, y, w, h, f.quality, f.sharpness, f.score, f.yaw_deg, f.pitch_deg, f.roll_deg),
        )
        for p in points
        for f in (p.face,)
        for x, y, w, h in (f.box_xywh,)
    ]  # fmt: skip
    return PointColumns(*zip(*rows, strict=True))


def packed_columns(columns: PointColumns) -> NDArray[np.void]:
    """`packed`, of points taken apart."""
    count, joined = len(columns.frame), _joined(columns.values)
    try:
        starts = [time % CHUNK_US for time in columns.event_time]  # never negative, also before the epoch
        whole = struct.pack(f"<{2 * count}I", *starts, *columns.frame)
    except struct.error as error:
        seen = f"{min(columns.frame)}..{max(columns.frame)}"
        raise ValueError(f"frame numbers {seen}, wanted 0..{0xFFFF_FFFF} ({error})") from error
    try:  # a third of the time of np.array(numbers)
        heads = struct.pack(f"{_NUMBERS * count}d", *itertools.chain.from_iterable(columns.numbers))
    except struct.error as error:
        raise ValueError(f"a box or quality that is no number ({error})") from error
    matrix = np.empty((count, _NUMBERS + joined.shape[1]))
    matrix[:, :_NUMBERS] = np.frombuffer(heads).reshape(count, _NUMBERS)
    matrix[:, _NUMBERS:] = joined
    if not np.isfinite(matrix).all():
        raise ValueError("a box, quality or value that is not a finite number")
    steps, lowest, highest, fields = _ranges(joined.shape[1])
    matrix *= steps
    np.minimum(np.maximum(matrix, lowest, out=matrix), highest, out=matrix)
    np.rint(matrix, out=matrix)
    rows = np.empty(count, fields)
    rows["u4"] = np.frombuffer(whole, "<u4").reshape(2, count).T
    rows["i2"] = matrix[:, :4]
    rows["u1"] = matrix[:, 4:7]
    rows["i1"] = matrix[:, 7:_NUMBERS]
    rows["u2"] = matrix[:, _NUMBERS:]
    return rows.view(point_dtype(joined.shape[1]))


@functools.lru_cache
def _ranges(
    channels: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], np.dtype[np.void]]:
    """Per number of a point: its step, lowest and highest whole number; and a point's columns grouped by their type."""
    steps = [*[BOX_STEP] * 4, *[SHARE_STEP] * 3, 1, 1, 1, *[VALUE_STEP] * channels]
    lowest = [*[-32768] * 4, 0, 0, 0, *[-128] * 3, *[0] * channels]
    highest = [*[32767] * 4, *[SHARE_STEP] * 3, *[127] * 3, *[VALUE_STEP] * channels]
    widths = (("u4", "<u4", 2), ("i2", "<i2", 4), ("u1", "u1", 3), ("i1", "i1", 3), ("u2", "<u2", channels))
    fields = np.dtype([(name, kind, (width,)) for name, kind, width in widths])
    return np.array(steps, float), np.array(lowest, float), np.array(highest, float), fields


def _joined(values: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
    """(n, channels)"""
    if set(map(type, values)) != {np.ndarray}:
        raise ValueError(f"values are {sorted(map(str, set(map(type, values))))}, wanted arrays")
    shapes, dtypes = {array.shape for array in values}, {array.dtype for array in values}
    if len(shapes) > 1 or len(values[0].shape) != 1:
        raise ValueError(f"values of shapes {sorted(shapes)}, wanted one axis of one length")
    if {dtype.kind for dtype in dtypes} != {"f"}:
        raise ValueError(f"values of {sorted(map(str, dtypes))}, wanted floats")
    if dtypes == {_FLOAT32}:
        try:  # with all the looks above, as quick as concatenate is alone
            body = b"".join(values)  # type: ignore[arg-type]  # arrays are buffers, as typing knows from 3.12 on
            return np.frombuffer(body, _FLOAT32).reshape(len(values), -1)
        except TypeError:  # an array that does not lie in one piece
            pass
    return np.concatenate(values).reshape(len(values), -1)


def unpack(blobs: Sequence[tuple[int, bytes]], channels: int) -> Columns:
    """The points of (chunk number, bytes) pairs of one schema, sorted by event time; a chunk may come in parts."""
    dtype = point_dtype(channels)
    if odd := [len(blob) for _, blob in blobs if len(blob) % dtype.itemsize]:
        raise ValueError(f"points of {odd[0]} bytes, wanted a multiple of {dtype.itemsize}")
    packed = np.frombuffer(b"".join(blob for _, blob in blobs), dtype)  # concatenate promotes field by field
    starts = np.repeat([chunk * CHUNK_US for chunk, _ in blobs], [len(blob) // dtype.itemsize for _, blob in blobs])
    event_time = starts.astype(np.int64) + packed["dt_us"].astype(np.int64)
    if (event_time[1:] < event_time[:-1]).any():  # seldom: they lie as they were committed
        order = np.argsort(event_time, kind="stable")
        packed, event_time = packed[order], event_time[order]
    angles = np.stack([packed[name] for name in ("yaw_deg", "pitch_deg", "roll_deg")], axis=1)
    return Columns(
        event_time=event_time,
        frame=packed["frame"].astype(np.int64),
        box_xywh=packed["box_xywh"].astype(np.float32) / BOX_STEP,
        quality=packed["quality"].astype(np.float32) / np.float32(SHARE_STEP),
        sharpness=packed["sharpness"].astype(np.float32) / np.float32(SHARE_STEP),
        score=packed["score"].astype(np.float32) / np.float32(SHARE_STEP),
        angles_deg=angles.astype(np.float32),
        values=packed["values"].astype(np.float32) / np.float32(VALUE_STEP),
    )
