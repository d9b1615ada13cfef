"""How good a crop is: size, sharpness, pose. Cheap enough for every face of every frame."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.faces.align import similarity

FULL_EDGE = 96.0  # px of the frame across the crop from which more pixels tell the nets nothing new
LOOKED_AT = 80  # px: sharpness is measured at this edge, whatever the crop's
BLURRED, SHARP = 0.30, 0.56  # see `sharpness`

MODEL = np.array(
    [(-0.5, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.58, -0.59), (-0.42, 1.0, -0.15), (0.42, 1.0, -0.15)], np.float64
)
"""The five points of a face that looks at the camera: x to the right, y down, z away, in eye distances.

Depths: neutral mean face of ICT-FaceKit (MIT). x and y: mean of what the detector finds in 80 frontal portraits.
"""
_CENTRED = MODEL - MODEL.mean(axis=0)
_INVERSE = np.linalg.pinv(_CENTRED)  # (3, 5)
_PLACES = (np.stack(np.meshgrid(range(8), range(8)), axis=-1).reshape(-1, 2) + 0.5) / 8  # 8 × 8 spots of a crop


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good a crop is. All but the angles lie in 0..1, higher is better; angles in degrees, from the five points."""

    overall: float  # size × sharpness × pose × share of the crop inside the frame
    sharpness: float
    yaw_deg: float  # positive: turned to the picture's right
    pitch_deg: float  # positive: looking up
    roll_deg: float  # positive: clockwise in the picture
    score: float  # the detector's confidence, or the tracker's between two detections


def judge(
    crop: NDArray[np.uint8], landmarks_xy: NDArray[np.floating[Any]], score: float, frame_wh: tuple[int, int]
) -> Quality:
    """The quality of a crop cut at these landmarks (px of the frame): `overall` = size × sharpness × pose × framed.

    Raises:
        DegenerateLandmarks: the points do not span a face.
    """
    to_crop = similarity(landmarks_xy)
    edge = 1.0 / float(np.hypot(to_crop[0, 0], to_crop[1, 0]))
    yaw, pitch, roll = angles(landmarks_xy)
    sharp = sharpness(crop)
    turned = [max(0.0, float(np.cos(np.radians(angle)))) for angle in (yaw, pitch, roll)]
    pose = turned[0] * turned[1] * turned[2]  # roll: the detector misplaces the points of faces that lie on their side
    return Quality(
        overall=min(1.0, edge / FULL_EDGE) * sharp * pose * framed(to_crop, frame_wh),
        sharpness=sharp,
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        score=min(max(float(score), 0.0), 1.0),
    )


def framed(to_crop: NDArray[np.float64], frame_wh: tuple[int, int]) -> float:
    """The share of a crop that the frame really shows; the rest is replicated border.

    Args:
        to_crop: (2, 3) from px of the frame to fractions of the crop, as `align.similarity` gives it.
        frame_wh: px.
    """
    places = (_PLACES - to_crop[:, 2]) @ np.linalg.inv(to_crop[:, :2]).T  # (64, 2) px of the frame
    return float(((places >= 0) & (places < frame_wh)).all(axis=1).mean())


def sharpness(crop: NDArray[np.uint8]) -> float:
    """0 (smeared) .. 1 (as sharp as a portrait) of the middle of a crop, whatever its contrast.

    Source: Crété et al. 2007, «The blur effect»: how much of the difference between neighbours a blur takes away.
    Differs: the ends of the scale are the tenth percentile of 71 sharp portraits, and the median of the same crops
    (160 px) under a Gaussian of 4 px.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (LOOKED_AT, LOOKED_AT), interpolation=cv2.INTER_AREA)
    rim = LOOKED_AT // 8
    middle = small[rim:-rim, rim:-rim]
    worst = 1.0
    for size in ((1, 7), (7, 1)):  # blurred down, across
        axis = 0 if size[1] == 7 else 1
        before = _steps(middle, axis)
        after = _steps(cv2.blur(middle, size), axis)
        lost = cv2.subtract(before, after)  # saturating: only what became smaller counts
        worst = min(worst, cv2.mean(lost)[0] / max(cv2.mean(before)[0], 0.5))
    return min(max((worst - BLURRED) / (SHARP - BLURRED), 0.0), 1.0)


def _steps(grey: NDArray[Any], axis: int) -> NDArray[np.uint8]:
    """Absolute differences between neighbours along an axis."""
    return np.asarray(
        cv2.absdiff(grey[1:], grey[:-1]) if axis == 0 else cv2.absdiff(grey[:, 1:], grey[:, :-1]), np.uint8
    )


def angles(landmarks_xy: NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Yaw (+ to the picture's right), pitch (+ up), roll (+ clockwise) in degrees.

    Source: scaled orthography fitted to `MODEL` (the first step of DeMenthon & Davis 1995), then made a rotation.
    """
    points = np.asarray(landmarks_xy, np.float64).reshape(5, 2)
    rows = (_INVERSE @ (points - points.mean(axis=0))).T  # (2, 3): the first two rows of scale × rotation
    across = rows[0] / max(float(np.linalg.norm(rows[0])), 1e-9)
    down = rows[1] / max(float(np.linalg.norm(rows[1])), 1e-9)
    sum_, difference = across + down, across - down
    sum_ /= max(float(np.linalg.norm(sum_)), 1e-9)
    difference /= max(float(np.linalg.norm(difference)), 1e-9)
    across, down = (sum_ + difference) / np.sqrt(2.0), (sum_ - difference) / np.sqrt(2.0)  # now at right angles
    away = across[0] * down[1] - across[1] * down[0]
    roll = float(np.arctan2(down[0], across[0]))  # of the line through the eyes
    nose = -complex(across[2], down[2]) * complex(np.cos(roll), -np.sin(roll))  # where it points, the head held upright
    yaw, pitch = np.arctan2(nose.real, away), np.arcsin(np.clip(-nose.imag, -1.0, 1.0))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
