"""Planes of the two-dimensional discrete cosine transform, and how they look through an average pooling.

Source: Ahmed et al. (1974); Qin et al., FcaNet (ICCV 2021), eq. 3-4; cfzd/FcaNet `model/layer.py` (MIT).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.nets.layers.frequencies import Frequency, on_side


def cosine(frequency: int, side: int, *, orthonormal: bool = True) -> Tensor:
    """cos(pi f (t + 1/2) / side) for t = 0..side-1, float64 (side,); orthonormal over all f where asked."""
    steps = torch.arange(side, dtype=torch.float64)
    wave = torch.cos(math.pi * frequency * (steps + 0.5) / side)
    if not orthonormal:
        return wave
    return wave * math.sqrt((1.0 if frequency == 0 else 2.0) / side)


def planes(frequencies: Sequence[Frequency], side: int, *, orthonormal: bool = True) -> Tensor:
    """One plane per grid frequency, float64 (n, side, side): rows are the height."""
    return torch.stack(
        [
            torch.outer(
                cosine(on_side(u, side), side, orthonormal=orthonormal),
                cosine(on_side(v, side), side, orthonormal=orthonormal),
            )
            for u, v in frequencies
        ]
    )


def pooling(side: int, pooled: int) -> Tensor:
    """Adaptive average pooling of one axis as a matrix, float64 (pooled, side); it enlarges where pooled > side."""
    matrix = torch.zeros(pooled, side, dtype=torch.float64)
    for row in range(pooled):
        begin, end = row * side // pooled, -(-(row + 1) * side // pooled)
        matrix[row, begin:end] = 1.0 / (end - begin)
    return matrix


def seen_through_pooling(planes: Tensor, side: int) -> Tensor:
    """Planes that do to a map of `side` what pooling it first would: (n, s, s) -> (n, side, side).

    Pooling and transform are both linear, so the pooling is done once, to the planes, and not to every map.
    """
    if planes.shape[-1] == side:
        return planes
    matrix = pooling(side, planes.shape[-1]).to(planes.dtype)  # (s, side)
    return matrix.T @ planes @ matrix
