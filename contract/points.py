"""The packed point: how readings lie in a chunk, the same in SQLite and in Redis.

A chunk holds one person's points of one minute under one reading schema, in the order in which they were
committed; a store may keep it in several parts. Little-endian, fixed size: `POINT_HEAD` and two bytes per channel.
"""

import functools
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

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
        if chunk_of(point.event_time) != chunk:
            raise ValueError(f"a point of minute {chunk_of(point.event_time)} in the chunk of minute {chunk}")
    return packed(points).tobytes()


def packed(points: Sequence[Point]) -> NDArray[np.void]:
    """One row per point, in the given order; each counts its time from the start of its own minute.

    Boxes beyond ±16,383 px and angles beyond ±127° are clipped, shares are clipped to 0..1.

    Raises:
        ValueError: points with different numbers of channels, or a number that is not finite or not in its range.
    """
    if not points:
        return np.empty(0, point_dtype(0))
    heads, values = _heads(points), _values(points)
    numbers = np.empty((len(points), len(heads) + values.shape[1]))
    numbers[:, : len(heads)] = heads.T
    numbers[:, len(heads) :] = values
    if not np.isfinite(numbers).all():
        raise ValueError("a box, quality or value that is not a finite number")
    steps, lowest, highest, fields = _ranges(values.shape[1])
    numbers *= steps
    np.minimum(np.maximum(numbers, lowest, out=numbers), highest, out=numbers)
    np.rint(numbers, out=numbers)
    if (numbers[:, 1] != heads[1]).any():
        raise ValueError(f"frame numbers {heads[1].min():.0f}..{heads[1].max():.0f}, wanted 0..{0xFFFF_FFFF}")
    rows = np.empty(len(points), fields)
    rows["u4"] = numbers[:, :2]
    rows["i2"] = numbers[:, 2:6]
    rows["u1"] = numbers[:, 6:9]
    rows["i1"] = numbers[:, 9:12]
    rows["u2"] = numbers[:, 12:]
    return rows.view(point_dtype(values.shape[1]))


@functools.lru_cache
def _ranges(
    channels: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], np.dtype[np.void]]:
    """Per column of a point: its step, lowest and highest whole number; and its columns grouped by their type."""
    steps = [1, 1, *[BOX_STEP] * 4, *[SHARE_STEP] * 3, 1, 1, 1, *[VALUE_STEP] * channels]
    lowest = [0, 0, *[-32768] * 4, 0, 0, 0, *[-128] * 3, *[0] * channels]
    highest = [CHUNK_US, 0xFFFF_FFFF, *[32767] * 4, *[SHARE_STEP] * 3, *[127] * 3, *[VALUE_STEP] * channels]
    widths = (("u4", "<u4", 2), ("i2", "<i2", 4), ("u1", "u1", 3), ("i1", "i1", 3), ("u2", "<u2", channels))
    fields = np.dtype([(name, kind, (width,)) for name, kind, width in widths])
    return np.array(steps, float), np.array(lowest, float), np.array(highest, float), fields


def _values(points: Sequence[Point]) -> NDArray[np.floating]:
    """(n, channels)"""
    arrays = [point.values for point in points]
    joined = np.concatenate(arrays)
    if joined.ndim != 1 or len(set(map(len, arrays))) > 1:
        raise ValueError(f"values of shapes {sorted({array.shape for array in arrays})}, wanted one axis of one length")
    return joined.reshape(len(points), -1)


def _heads(points: Sequence[Point]) -> NDArray[np.float64]:
    """(12, n): the numbers of POINT_HEAD, a line each; all fit a float64."""
    qualities = [point.quality for point in points]
    boxes = [point.box_xywh for point in points]
    if set(map(len, boxes)) != {4}:
        raise ValueError(f"boxes of {sorted(set(map(len, boxes)))} numbers, wanted 4")
    numbers = (
        *[point.event_time % CHUNK_US for point in points],  # never negative, also before the epoch
        *[point.frame for point in points],
        *itertools.chain.from_iterable(zip(*boxes, strict=True)),
        *[quality.overall for quality in qualities],
        *[quality.sharpness for quality in qualities],
        *[quality.score for quality in qualities],
        *[quality.yaw_deg for quality in qualities],
        *[quality.pitch_deg for quality in qualities],
        *[quality.roll_deg for quality in qualities],
    )
    try:
        lines = np.frombuffer(struct.pack(f"{len(numbers)}d", *numbers))  # a third of the time of np.array(numbers)
    except struct.error as error:
        raise ValueError(f"a box or quality that is no number ({error})") from error
    return lines.reshape(12, len(points))


def unpack(blobs: Sequence[tuple[int, bytes]], channels: int) -> Columns:
    """The points of (chunk number, bytes) pairs of one schema, sorted by event time; a chunk may come in parts."""
    dtype = point_dtype(channels)
    parts = [np.frombuffer(blob, dtype) for _, blob in blobs]
    packed = np.concatenate(parts) if parts else np.empty(0, dtype)
    starts = np.repeat([chunk * CHUNK_US for chunk, _ in blobs], [len(part) for part in parts])
    event_time = starts.astype(np.int64) + packed["dt_us"].astype(np.int64)
    order = np.argsort(event_time, kind="stable")
    packed = packed[order]
    angles = np.stack([packed[name] for name in ("yaw_deg", "pitch_deg", "roll_deg")], axis=1)
    return Columns(
        event_time=event_time[order],
        frame=packed["frame"].astype(np.int64),
        box_xywh=packed["box_xywh"].astype(np.float32) / BOX_STEP,
        quality=packed["quality"].astype(np.float32) / np.float32(SHARE_STEP),
        sharpness=packed["sharpness"].astype(np.float32) / np.float32(SHARE_STEP),
        score=packed["score"].astype(np.float32) / np.float32(SHARE_STEP),
        angles_deg=angles.astype(np.float32),
        values=packed["values"].astype(np.float32) / np.float32(VALUE_STEP),
    )
