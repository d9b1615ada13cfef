"""Creases that moving skin gets and a mesh of ten thousand vertices does not have."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from train.data.synthetic.mesh import Floats

DEEPEST = 0.45  # of the light a crease takes away at most
STRONG_FROM = 0.15  # level below which skin does not crease


def depth(neutral: Floats, levels: Mapping[str, float], deep: float) -> Floats:
    """(V,) 0..1, what is left of the light on skin whose units have these levels 0..1.

    Frown lines stand upright between the brows (AU4), the forehead folds across in its middle (AU1) and at its sides
    (AU2), the root of the nose across (AU9). Places: ours, by eye, on ICT-FaceKit's mean face, after Ekman & Friesen's
    descriptions of the units.

    Args:
        neutral: (V, 3) of the mean face.
        levels: by unit; those not named here crease nothing.
        deep: 0..1, how deep this skin creases: not everybody's does.
    """
    shade = np.zeros(len(neutral))
    for unit, pattern in _patterns(neutral).items():
        level = max(0.0, levels.get(unit, 0.0) - STRONG_FROM) / (1 - STRONG_FROM)
        shade = np.maximum(shade, level * pattern)
    return np.asarray(1.0 - DEEPEST * deep * np.clip(shade, 0, 1), np.float32)


def _patterns(neutral: Floats) -> Mapping[str, NDArray[np.float64]]:
    x, y, front = np.abs(neutral[:, 0].astype(float)), neutral[:, 1].astype(float), neutral[:, 2] > 7
    across = 0.5 + 0.5 * np.cos(2 * np.pi * (y - 7.3) / 0.9)  # of the forehead, nine millimetres apart
    forehead = across * _within(y, 7.7, 0.9)
    return {
        "AU1": front * forehead * _within(x, 0.0, 1.6),
        "AU2": front * forehead * _within(x, 3.2, 1.3),
        "AU4": front * _within(x, 0.55, 0.25) * _within(y, 5.8, 0.8),
        "AU9": front * _within(x, 0.0, 0.8) * _within(y, 4.3, 0.3),
    }


def _within(place: NDArray[np.float64], middle: float, spread: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-(((place - middle) / spread) ** 2)), np.float64)
