"""The crop: a face cut out of its frame, upright, centred and always at the same place.

The code that cuts live crops also cuts training crops.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.floating[Any]]

TEMPLATE = np.array(
    [(0.3609, 0.3762), (0.6378, 0.3746), (0.5002, 0.5336), (0.3865, 0.6957), (0.6157, 0.6944)], np.float64
)
"""Left eye, right eye, nose, left and right mouth corner in fractions of the crop's edge.

The familiar 112-px alignment template (five points of ArcFace's pre-processing), shrunk by 0.88 and lifted so that a
dropped jaw stays inside.
"""

LEAST_SPREAD = 0.5  # px, root mean square distance of the points from their centre: below it they say nothing
_CENTRE = TEMPLATE.mean(axis=0)
_TARGET = (TEMPLATE - _CENTRE) @ np.array([1, 1j])  # as complex numbers: a similarity is one multiplication


class DegenerateLandmarks(ValueError):
    """The five points do not span a face: they coincide, or are not finite numbers."""


def similarity(landmarks_xy: Points) -> NDArray[np.float64]:
    """The (2, 3) matrix from pixels of the frame to fractions of the crop's edge, without mirroring.

    Args:
        landmarks_xy: (5, 2) px, in the order of the template; the first pixel covers 0..1.

    Raises:
        DegenerateLandmarks: no similarity is defined by the points.

    Source: the least-squares similarity of Umeyama 1991, eq. 40-42; in the plane it has this closed form.
    """
    points = np.asarray(landmarks_xy, np.float64).reshape(5, 2)
    centre = points.mean(axis=0)
    spread = (points - centre) @ np.array([1, 1j])
    power = float(np.vdot(spread, spread).real)
    if not np.isfinite(power) or power < 5 * LEAST_SPREAD**2:
        raise DegenerateLandmarks(f"the five points span {np.sqrt(power / 5):.2f} px, wanted {LEAST_SPREAD} px or more")
    turn = np.vdot(spread, _TARGET) / power
    if abs(turn) ** 2 * power < 0.04 * float(np.vdot(_TARGET, _TARGET).real):  # a fifth of the template's spread
        raise DegenerateLandmarks("the five points do not resemble a face in any position")
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, _CENTRE - linear @ centre])


def cut(frame_rgb: Image, landmarks_xy: Points, edge: int = 160) -> Image:
    """The aligned face, (edge, edge, 3) u8 RGB; outside the frame the border is replicated.

    A face much larger than the crop is averaged down first, so that fine texture does not alias.

    Args:
        frame_rgb: (H, W, 3) u8 RGB.
        landmarks_xy: (5, 2) px of the frame.
        edge: px.

    Raises:
        DegenerateLandmarks: see `similarity`.
    """
    to_crop = similarity(landmarks_xy) * edge
    shrink = float(np.hypot(to_crop[0, 0], to_crop[1, 0]))  # px of the crop per px of the frame
    step = min(max(1, int(1.0 / shrink + 0.25)), *frame_rgb.shape[:2])
    region, origin = (frame_rgb, np.zeros(2)) if step == 1 else _averaged(frame_rgb, to_crop, edge, step)
    # Pixel i covers i..i+1, OpenCV counts from pixel centres: both sides move by half a pixel.
    linear = to_crop[:, :2] * step
    shift = to_crop[:, 2] + to_crop[:, :2] @ origin + (linear.sum(axis=1) - 1.0) / 2
    matrix = np.column_stack([linear, shift])
    crop = cv2.warpAffine(region, matrix, (edge, edge), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def _averaged(
    frame_rgb: Image, to_crop: NDArray[np.float64], edge: int, step: int
) -> tuple[Image, NDArray[np.float64]]:
    """The part of the frame that the crop shows, averaged over step×step px, and its corner in the frame."""
    back = np.linalg.inv(to_crop[:, :2])
    corners = (np.array([(0, 0), (edge, 0), (0, edge), (edge, edge)]) - to_crop[:, 2]) @ back.T
    size_wh = np.array(frame_rgb.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)) - 2 * step, 0, size_wh - step).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2 * step, low + step, size_wh).astype(int)
    cells_wh = (high - low) // step
    high = low + cells_wh * step
    part = frame_rgb[low[1] : high[1], low[0] : high[0]]
    return np.asarray(cv2.resize(part, cells_wh.tolist(), interpolation=cv2.INTER_AREA), np.uint8), low.astype(float)
