"""What reading a range again adds: for each point that the workers stored one reading, for anything else none."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.layers import rank_of
from contract.points import chunk_of, point_dtype
from contract.readings import Point, ReadingSchema

Place = tuple[str, int]
"""(person, chunk)"""


def grouped(points: Sequence[Point]) -> dict[Place, list[int]]:
    """The numbers of the points by person and chunk."""
    groups: defaultdict[Place, list[int]] = defaultdict(list)
    for number, point in enumerate(points):
        groups[point.face.person, chunk_of(point.face.event_time)].append(number)
    return groups


def dtype_of(schema_body: bytes) -> np.dtype[np.void]:
    """How points under a stored schema are packed."""
    return point_dtype(len(msgspec.json.decode(schema_body, type=ReadingSchema).channels))


def missing(
    numbers: Sequence[int],
    rows: NDArray[np.void],
    stored: Mapping[str, bytes],
    layer: str,
    dtypes: Mapping[str, np.dtype[np.void]],
) -> list[int]:
    """Return the rows of one person and chunk whose frames the layer holds less often than the workers' points.

    Args:
        stored: the packed points of the chunk, by name.
        dtypes: how they are packed, by name.
    """
    frames = _frames(rows[list(numbers)])
    left: Counter[int] = Counter()
    for name, body in stored.items():
        if rank_of(name) == 0 or name == layer:
            held = _frames(np.frombuffer(body, dtypes[name]))
            here = held[np.isin(held, frames)].tolist()  # a minute holds some hundred others
            left.subtract(here) if name == layer else left.update(here)
    found = []
    for number, frame in zip(numbers, frames.tolist(), strict=True):
        if left[frame] > 0:
            left[frame] -= 1
            found.append(number)
    return found


def _frames(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Time within the chunk and number of each row's frame, as one number."""
    frames: NDArray[np.int64] = (rows["dt_us"].astype(np.int64) << 32) | rows["frame"]
    return frames
