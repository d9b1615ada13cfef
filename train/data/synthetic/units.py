"""What a face does: action units by shapes with known intensities, and what else it may do."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.labels import ACTION_UNITS

SHAPES: Mapping[str, Mapping[str, float]] = {
    "AU1": {"browInnerUp": 1.0},
    "AU2": {"browOuterUp": 1.0},
    "AU4": {"browDown": 1.0},
    "AU5": {"eyeWide": 1.0},
    "AU6": {"cheekSquint": 1.0},
    "AU9": {"noseSneer": 1.0},
    "AU12": {"mouthSmile": 1.0},
    "AU15": {"mouthFrown": 1.0},
    "AU17": {"mouthShrugLower": 1.0},
    "AU20": {"mouthStretch": 1.0},
    "AU25": {"mouthLowerDown": 0.7, "mouthUpperUp": 0.35},
    "AU26": {"jawOpen": 0.45},
}
"""Shapes of ICT-FaceKit at full intensity; those of both sides are named without «_L» and «_R»."""

WHOLE = {"jawOpen", "jawLeft", "jawRight", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper"}
WHOLE |= {"mouthShrugLower", "mouthShrugUpper", "mouthClose", "mouthLeft", "mouthRight", "jawForward"}

OTHERS = (
    *("eyeBlink", "eyeSquint", "mouthPress", "mouthPucker", "mouthFunnel", "mouthDimple", "cheekPuff"),
    *("mouthLeft", "mouthRight", "jawLeft", "jawRight", "mouthRollLower", "mouthRollUpper"),
    *("eyeLookDown", "eyeLookUp"),
)
"""Movements without a label: a net must not take them for a unit."""

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("AU12",),
    ("AU6", "AU12"),
    ("AU6", "AU12", "AU25"),
    ("AU12", "AU25"),
    ("AU6", "AU12", "AU25", "AU26"),
    ("AU1", "AU2", "AU5", "AU25", "AU26"),
    ("AU1", "AU2", "AU5"),
    ("AU5", "AU25", "AU26"),
    ("AU4", "AU5"),
    ("AU4", "AU17"),
    ("AU4", "AU9"),
    ("AU4", "AU9", "AU25"),
    ("AU1", "AU4", "AU15"),
    ("AU1", "AU4", "AU15", "AU17"),
    ("AU1", "AU2", "AU4", "AU5", "AU20", "AU25"),
    ("AU15", "AU17"),
    ("AU25", "AU26"),
    ("AU25",),
    ("AU4",),
)
"""Units that faces move together (prototypes of Ekman & Friesen's Investigator's Guide, and speech)."""

AT_REST, PROTOTYPE = 0.15, 0.5  # shares of faces; the rest move each unit by chance
BY_CHANCE, IN_ADDITION, OTHER = 0.3, 0.06, 0.12
LEVELS = 5  # intensities 1..5 are the fifths of a shape
GAP_FULL = 0.30  # widths of the mouth by which lips part at AU25's intensity 5


@dataclass(frozen=True, slots=True)
class Movement:
    """Weights of shapes, and what they are called."""

    shapes: Mapping[str, float]  # ICT-FaceKit's names -> 0..1
    levels: Mapping[str, float]  # 0..1 by unit
    intensities: tuple[int, ...]  # 0..5 in the order of ACTION_UNITS; AU25 as intended, its label comes from the lips


def draw_movement(random: np.random.Generator) -> Movement:
    """A face at rest, a prototype, or anything."""
    levels = dict.fromkeys(ACTION_UNITS, 0.0)
    kind = random.random()
    if kind >= AT_REST + PROTOTYPE:
        for unit in ACTION_UNITS:
            levels[unit] = random.uniform(0.2, 1.0) if random.random() < BY_CHANCE else 0.0
    elif kind >= AT_REST:
        strength = random.uniform(0.35, 1.0)
        for unit in TOGETHER[random.integers(len(TOGETHER))]:
            levels[unit] = float(np.clip(strength * random.uniform(0.7, 1.3), 0.0, 1.0))
        for unit in ACTION_UNITS:
            if random.random() < IN_ADDITION:
                levels[unit] = max(levels[unit], random.uniform(0.2, 0.8))
    shapes: dict[str, float] = {}
    for unit, level in levels.items():
        for shape, full in SHAPES[unit].items():
            _add(shapes, shape, full * level, random)
    for shape in OTHERS:
        if random.random() < OTHER:
            _add(shapes, shape, random.uniform(0.0, 0.6 if shape != "eyeBlink" else 1.0), random)
    return Movement(shapes, levels, tuple(intensity(levels[unit]) for unit in ACTION_UNITS))


def _add(shapes: dict[str, float], shape: str, weight: float, random: np.random.Generator) -> None:
    """Both sides, not quite alike."""
    uneven = float(np.clip(random.normal(0.0, 0.08), -0.2, 0.2))
    names = (shape,) if shape in WHOLE else (f"{shape}_L", f"{shape}_R")
    for name, share in zip(names, (1 + uneven, 1 - uneven), strict=False):
        shapes[name] = shapes.get(name, 0.0) + weight * (1.0 if len(names) == 1 else share)


def movement(levels: Mapping[str, float]) -> Movement:
    """These units at these levels 0..1, both sides alike, nothing else."""
    shapes: dict[str, float] = {}
    for unit, level in levels.items():
        for shape, full in SHAPES[unit].items():
            for name in (shape,) if shape in WHOLE else (f"{shape}_L", f"{shape}_R"):
                shapes[name] = shapes.get(name, 0.0) + full * level
    return Movement(shapes, dict(levels), tuple(intensity(levels.get(unit, 0.0)) for unit in ACTION_UNITS))


def intensity(level: float) -> int:
    """0..5 of a share 0..1 of a shape."""
    return int(np.clip(round(level * LEVELS), 0, LEVELS))


def labelled(movement: Movement, gap: float) -> NDArray[np.uint8]:
    """(12,) intensities 0..5, AU25's by the gap between the lips, in widths of the mouth beyond that at rest."""
    labels = np.array(movement.intensities, np.uint8)
    labels[ACTION_UNITS.index("AU25")] = intensity(max(0.0, gap) / GAP_FULL)
    return labels
