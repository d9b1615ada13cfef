"""The packed bucket: what readings of ten seconds or a minute add up to, so that a long stretch is a small read.

A bucket sums the points of one person under one reading schema, as whole numbers, so that it equals the sum over the
packed points exactly: eight bytes little-endian each for the count, the quality in steps of 1/255, and every channel
in steps of 1/65535. Which buckets there are, and where: contract.keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.keys import BUCKET_SLOTS
from contract.points import CHUNK_US, SHARE_STEP, VALUE_STEP

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of one level, one array per column, by time; those without points are left out."""

    begin: NDArray[np.int64]  # (n,) µs of event time
    count: NDArray[np.int64]  # (n,)
    quality: NDArray[np.float64]  # (n,) sum of 0..1
    values: NDArray[np.float64]  # (n, channels) sums of 0..1

    def __len__(self) -> int:
        return len(self.begin)


def bucket_of(event_time: int, level_s: int) -> int:
    """Number of the bucket in which an event time lies; negative before the epoch."""
    return event_time // (level_s * SECOND_US)


def slab_of(bucket: int) -> tuple[int, int]:
    """(slab, slot) of a bucket."""
    return divmod(bucket, BUCKET_SLOTS)


def slabs_of_chunk(chunk: int, level_s: int) -> range:
    """The slabs that hold the buckets of a chunk's points."""
    first = bucket_of(chunk * CHUNK_US, level_s)
    last = bucket_of((chunk + 1) * CHUNK_US - 1, level_s)
    return range(first // BUCKET_SLOTS, last // BUCKET_SLOTS + 1)


def unpack_buckets(packed: Iterable[tuple[int, bytes]], channels: int, level_s: int) -> Buckets:
    """The buckets of (bucket number, bytes) pairs of one schema and level.

    Raises:
        ValueError: bytes of another length than the schema's.
    """
    pairs = sorted(packed)
    if any(len(body) != 8 * (2 + channels) for _, body in pairs):
        raise ValueError(f"buckets of {sorted({len(body) for _, body in pairs})} bytes, wanted {8 * (2 + channels)}")
    sums = np.frombuffer(b"".join(body for _, body in pairs), "<u8").reshape(-1, 2 + channels)
    return Buckets(
        begin=np.array([number for number, _ in pairs], np.int64) * (level_s * SECOND_US),
        count=sums[:, 0].astype(np.int64),
        quality=sums[:, 1] / SHARE_STEP,
        values=sums[:, 2:] / VALUE_STEP,
    )
