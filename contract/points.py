"""The packed point: how readings lie in a chunk, the same in SQLite and in Redis.

A chunk holds one person's points of one minute under one reading schema, in the order in which they were
committed. Little-endian, fixed size: `POINT_HEAD` and two bytes per channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.readings import Point

CHUNK_US = 60_000_000
BOX_STEP = 4.0  # quarter pixels: i2 reaches ±8,191 px
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


def point_dtype(channels: int) -> np.dtype[np.void]:
    """The record layout of a schema with this many channels."""
    return np.dtype([*POINT_HEAD, ("values", "<u2", (channels,))])


def chunk_of(event_time: int) -> int:
    """Number of the minute in which an event time lies; negative before the epoch."""
    return event_time // CHUNK_US


def pack(points: Sequence[Point], chunk: int) -> bytes:
    """The bytes that append these points, all of one chunk and one schema, in the given order."""
    packed = np.zeros(len(points), point_dtype(len(points[0].values) if points else 0))
    for row, point in zip(packed, points, strict=True):
        row["dt_us"] = point.event_time - chunk * CHUNK_US
        row["frame"] = point.frame
        row["box_xywh"] = np.clip(np.rint(np.multiply(point.box_xywh, BOX_STEP)), -32768, 32767)
        quality = point.quality
        for name, share in (("quality", quality.overall), ("sharpness", quality.sharpness), ("score", quality.score)):
            row[name] = round(min(max(share, 0.0), 1.0) * SHARE_STEP)
        for name in ("yaw_deg", "pitch_deg", "roll_deg"):
            row[name] = round(min(max(getattr(quality, name), -128.0), 127.0))
        row["values"] = np.rint(np.clip(point.values, 0.0, 1.0) * VALUE_STEP)
    return packed.tobytes()


def unpack(blobs: Sequence[tuple[int, bytes]], channels: int) -> Columns:
    """The points of (chunk number, bytes) pairs of one schema, sorted by event time."""
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
