"""Where faces have moved from one picture to the next: Lucas-Kanade on a few points of each, forward and back."""

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
SURROUNDINGS = 0.4  # of the face's size on every side: how far it may move in one frame
LARGE = 72.0  # px of the reduced picture: faces beyond are followed at half of it
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


def motion(before: Grey, after: Grey, step: float, box: Floats, landmarks: Floats) -> Motion:
    """The motion of a face between two grey pictures that show the frame reduced by `step`, in pixels of the frame.

    Only the face and what lies around it are looked at, and large faces at half the size: flow on the whole of a
    320-px picture costs four times as much.
    """
    frame_points = np.concatenate([landmarks, box[:2] + GRID * box[2:]])
    start = frame_points / step
    size = float(box[2:].mean()) / step
    low = np.maximum((box[:2] / step - SURROUNDINGS * size).astype(int), 0)
    high = ((box[:2] + box[2:]) / step + SURROUNDINGS * size).astype(int)
    part = (slice(low[1], max(high[1], 0)), slice(low[0], max(high[0], 0)))
    one, other = before[part], after[part]
    if min(one.shape) < 2 * WINDOW[0]:
        return STILL
    half = 2 if size > LARGE else 1
    if half == 2:
        one, other = (each[: each.shape[0] // 2 * 2, : each.shape[1] // 2 * 2] for each in (one, other))
        one, other = (
            np.asarray(cv2.resize(each, (each.shape[1] // 2, each.shape[0] // 2)), np.uint8) for each in (one, other)
        )
    # A pixel covers i..i+1 here, OpenCV counts from its centre.
    flat = np.ascontiguousarray(((start - low) / half - 0.5)[:, None], np.float32)
    there, back, seen = _there_and_back(one, other, flat)
    errors = np.linalg.norm(back - flat, axis=2)[:, 0]
    good = seen & (errors < max(0.5, size / half * RETURNS))
    end = ((there[:, 0] + 0.5) * half + low) * step
    return _motion(frame_points, end.astype(np.float32), good, size * step)


def _there_and_back(one: Grey, other: Grey, points: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """The points (n, 1, 2) in the other picture, from there back in this one, and which were found both times."""
    levels = 2 if min(one.shape) >= 8 * WINDOW[0] else 1
    how = {"winSize": WINDOW, "maxLevel": levels, "criteria": STOP}
    there, found, _ = cv2.calcOpticalFlowPyrLK(one, other, points, np.empty_like(points), **how)  # type: ignore[call-overload]
    back, held, _ = cv2.calcOpticalFlowPyrLK(other, one, there, np.empty_like(points), **how)  # type: ignore[call-overload]
    return there, back, ((found > 0) & (held > 0))[:, 0]


def _motion(start: Floats, end: Floats, good: NDArray[np.bool_], size: float) -> Motion:
    """The similarity that most of the good points follow."""
    if good.sum() < 4:
        return STILL
    moved = end - start
    usual = np.sort(moved[good], axis=0)[int(good.sum()) // 2]  # the median; that of numpy takes 100 ms to load
    good = good & (np.linalg.norm(moved - usual, axis=1) < AGREES * size)
    if good.sum() < 4:
        return STILL
    one, other = (points[good].astype(np.float64) @ np.array([1, 1j]) for points in (start, end))
    spread, wanted = one - one.mean(), other - other.mean()
    turn = complex(np.vdot(spread, wanted) / max(np.vdot(spread, spread).real, 1e-9))
    return Motion(turn, complex(other.mean() - turn * one.mean()), float(good.mean()))
