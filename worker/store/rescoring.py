"""What reading a stretch again adds: for each point that the workers stored one reading, for anything else none."""

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
        groups[point.person, chunk_of(point.event_time)].append(number)
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
    """Of these rows of one person and chunk, those of frames that the layer holds less often than the workers' points.

    Args:
        stored: the packed points of the chunk, by name.
        dtypes: how they are packed, by name.
    """
    left: Counter[tuple[int, int]] = Counter()
    for name, body in stored.items():
        if rank_of(name) == 0:
            left.update(_frames(np.frombuffer(body, dtypes[name])))
    if stored.get(layer):
        left.subtract(_frames(np.frombuffer(stored[layer], rows.dtype)))
    found = []
    for number, frame in zip(numbers, _frames(rows[list(numbers)]), strict=True):
        if left[frame] > 0:
            left[frame] -= 1
            found.append(number)
    return found


def _frames(rows: NDArray[np.void]) -> list[tuple[int, int]]:
    """(time within the chunk, number) of each row's frame."""
    return list(zip(rows["dt_us"].tolist(), rows["frame"].tolist(), strict=True))
