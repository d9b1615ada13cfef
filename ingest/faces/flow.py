"""Where faces have moved from one picture to the next: Lucas-Kanade on a few points of each, forward and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.faces.detect import centre_of

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

GRID = np.stack(np.meshgrid(*[np.linspace(0.2, 0.8, 4)] * 2), axis=-1).reshape(-1, 2).astype(np.float32)
"""Points of a box that are followed beside the landmarks, in fractions of the box."""

WINDOW = (11, 11)
STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)
RETURNS = 0.04  # a point must come back to within this share of the face's size, or half a pixel
AGREES = 0.12  # and move as the others to within this share


@dataclass(frozen=True, slots=True)
class Motion:
    """How one face moved between two pictures: a similarity of the plane, and how many points agree."""

    turn: complex  # scale and rotation
    shift: complex  # after the turn
    sure: float  # 0..1, share of the points that came back and moved together

    def points(self, points_xy: Floats) -> Floats:
        """(n, 2) points after the motion."""
        moved = points_xy.astype(np.float64) @ np.array([1, 1j]) * self.turn + self.shift
        return np.stack([moved.real, moved.imag], axis=1).astype(np.float32)

    def box(self, box_xywh: Floats) -> Floats:
        """A box after the motion; it stays upright."""
        centre = self.points(centre_of(box_xywh)[None])[0]
        size = box_xywh[2:] * np.float32(abs(self.turn))
        return np.concatenate([centre - np.float32(0.5) * size, size])


STILL = Motion(1 + 0j, 0j, 0.0)


def motions(
    before: Grey, after: Grey, step: float, boxes: Sequence[Floats], landmarks: Sequence[Floats]
) -> list[Motion]:
    """The motion of each face, in pixels of the frame, of which the grey pictures show every `step`-th."""
    if not boxes:
        return []
    starts = np.stack(
        [np.concatenate([points, box[:2] + GRID * box[2:]]) for box, points in zip(boxes, landmarks, strict=True)]
    ) / np.float32(step)  # (faces, points, 2)
    # A pixel covers i..i+1 here, OpenCV counts from its centre.
    flat = np.ascontiguousarray(starts.reshape(-1, 1, 2) - np.float32(0.5), np.float32)
    levels = 2 if max(float(box[2:].max()) for box in boxes) > 24 * step else 1
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, flat, np.empty_like(flat), winSize=WINDOW, maxLevel=levels, criteria=STOP
    )
    back, held, _ = cv2.calcOpticalFlowPyrLK(
        after, before, there, np.empty_like(flat), winSize=WINDOW, maxLevel=levels, criteria=STOP
    )
    errors = np.linalg.norm(back - flat, axis=2).reshape(starts.shape[:2])
    seen = ((found > 0) & (held > 0)).reshape(starts.shape[:2])
    ends = there.reshape(starts.shape) + np.float32(0.5)
    return [
        _motion(starts[i] * step, ends[i] * step, seen[i] & (errors[i] < max(0.5, size * RETURNS)), size * step)
        for i, size in enumerate(float(box[2:].mean()) / step for box in boxes)
    ]


def _motion(start: Floats, end: Floats, good: NDArray[np.bool_], size: float) -> Motion:
    """The similarity that most of the good points follow."""
    if good.sum() < 4:
        return STILL
    moved = end - start
    usual = np.median(moved[good], axis=0)
    good = good & (np.linalg.norm(moved - usual, axis=1) < AGREES * size)
    if good.sum() < 4:
        return STILL
    one, other = (points[good].astype(np.float64) @ np.array([1, 1j]) for points in (start, end))
    spread, wanted = one - one.mean(), other - other.mean()
    turn = complex(np.vdot(spread, wanted) / max(np.vdot(spread, spread).real, 1e-9))
    return Motion(turn, complex(other.mean() - turn * one.mean()), float(good.mean()))
