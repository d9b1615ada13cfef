"""Planes of the two-dimensional discrete cosine transform, and how they look through an average pooling.

Source: Ahmed et al. (1974); Qin et al., FcaNet (ICCV 2021), eq. 3-4; cfzd/FcaNet `model/layer.py` (MIT).
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.nets.layers.frequencies import GRID, Frequency, on_side

Array: TypeAlias = NDArray[np.float64]


def cosine(frequency: int, side: int, *, orthonormal: bool = True) -> Array:
    """cos(pi f (t + 1/2) / side) for t = 0..side-1, (side,); orthonormal over all f where asked."""
    wave = np.cos(math.pi * frequency * (np.arange(side) + 0.5) / side)
    return wave * math.sqrt((1.0 if frequency == 0 else 2.0) / side) if orthonormal else wave


def planes(frequencies: Sequence[Frequency], side: int, *, orthonormal: bool = True) -> Array:
    """One plane per grid frequency, (n, side, side): rows are the height."""
    waves = {index: cosine(on_side(index, side), side, orthonormal=orthonormal) for index in range(GRID)}
    return np.stack([np.outer(waves[u], waves[v]) for u, v in frequencies])


def pooling(side: int, pooled: int) -> Array:
    """Adaptive average pooling of one axis as a matrix, (pooled, side); it enlarges where pooled > side."""
    matrix = np.zeros((pooled, side))
    for row in range(pooled):
        begin, end = row * side // pooled, -(-(row + 1) * side // pooled)
        matrix[row, begin:end] = 1.0 / (end - begin)
    return matrix


def seen_through_pooling(planes: Array, side: int) -> Array:
    """Planes that do to a map of `side` what pooling it first would: (n, s, s) -> (n, side, side).

    Pooling and transform are both linear, so the pooling is done once, to the planes, and not to every map.
    """
    if planes.shape[-1] == side:
        return planes
    matrix = pooling(side, planes.shape[-1])  # (s, side)
    seen: Array = matrix.T @ planes @ matrix
    return seen
