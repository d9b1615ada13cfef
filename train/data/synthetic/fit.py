"""Whose head it is, and how it is held: pose and identity from points of a photograph."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data.synthetic.mesh import Floats, Mesh

ROUNDS = 8
POSE_STEPS = 4
STIFFNESS = 1e-3  # of the plate that carries what the mesh leaves over; higher: smoother
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # the mesh's y is up, a picture's down


@dataclass(frozen=True, slots=True)
class Points:
    """What was seen of a face."""

    seen_xy: NDArray[np.float64]  # (n, 2) px
    shares: NDArray[np.float64]  # (n, 68): each point as a mean of the mesh's landmarks
    weights: NDArray[np.float64]  # (n,)
    upright_rad: float  # standard deviation of yaw and pitch around looking at the camera
    noise_px: float  # standard deviation of a point


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head that lies on a photograph: projected, its points are the photograph's."""

    vertices: Floats  # (V, 3) neutral
    linear: NDArray[np.float64]  # (3, 3) scale × rotation: px of the picture, third row depth away from the viewer
    shift: NDArray[np.float64]  # (2,) px
    error_px: float  # root mean square of the points before the plate

    def project(self, vertices: Floats) -> Floats:
        """(V, 2) px of the photograph."""
        return (vertices @ self.linear[:2].T + self.shift).astype(np.float32)


def fit(mesh: Mesh, points: Points) -> Fitted:
    """The head that explains the points: scaled orthography, ridge on identities, the rest by a thin plate.

    Source: pose and shape in turns as in Blanz & Vetter 2003 with a scaled orthographic camera; thin plate: Bookstein
    1989, with the weight of Wahba's smoothing.
    """
    means = points.shares @ mesh.neutral[mesh.landmarks].astype(float)  # (n, 3)
    basis = points.shares @ mesh.identities[:, mesh.landmarks].astype(float)  # (K, n, 3)
    who, pose = np.zeros(len(basis)), _first_pose(means, points)
    for _ in range(ROUNDS):
        pose = _posed(pose, means + np.tensordot(who, basis, 1), points)
        linear, shift = camera(pose)
        who = _identity(points.seen_xy - means @ linear[:2].T - shift, basis @ linear[:2].T, points)
    shape = means + np.tensordot(who, basis, 1)
    left_over = points.seen_xy - shape @ linear[:2].T - shift
    vertices = mesh.neutral + np.tensordot(who.astype(np.float32), mesh.identities, 1)
    flat = vertices @ linear[:2].T + shift
    bent = plate(shape @ linear[:2].T + shift, left_over, flat)
    back = np.linalg.inv(linear)[:, :2]  # px of the picture -> units of the mesh, at the same depth
    return Fitted(
        (vertices + bent @ back.T).astype(np.float32), linear, shift, float(np.sqrt((left_over**2).sum(1).mean()))
    )


def _identity(rest: NDArray[np.float64], columns: NDArray[np.float64], points: Points) -> NDArray[np.float64]:
    """(K,) of the rest (n, 2) that the mean leaves, by what each identity moves (K, n, 2); each is normal a priori."""
    matrix = (columns * points.weights[:, None]).reshape(len(columns), -1).T  # (2 n, K)
    gram = matrix.T @ matrix + points.noise_px**2 * np.eye(len(columns))
    return np.asarray(np.linalg.solve(gram, matrix.T @ (rest * points.weights[:, None]).reshape(-1)), np.float64)


def camera(pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale × rotation (3, 3), and shift (2,), of the rotation vector, the logarithm of the scale, and x and y."""
    rotation, _ = cv2.Rodrigues(pose[:3])
    return np.exp(pose[3]) * (UPRIGHT @ np.asarray(rotation, np.float64)), pose[4:6].copy()


def _first_pose(shape: NDArray[np.float64], points: Points) -> NDArray[np.float64]:
    """Upright, of the points' size and place."""
    flat, seen = shape[:, :2] * (1, -1), points.seen_xy
    scale = np.sqrt(((seen - seen.mean(0)) ** 2).sum() / ((flat - flat.mean(0)) ** 2).sum())
    return np.array([0, 0, 0, np.log(scale), *(seen.mean(0) - scale * flat.mean(0))])


def _posed(pose: NDArray[np.float64], shape: NDArray[np.float64], points: Points) -> NDArray[np.float64]:
    """A few Gauss-Newton steps on the six numbers, with the prior on yaw and pitch."""

    def rest(at: NDArray[np.float64]) -> NDArray[np.float64]:
        linear, shift = camera(at)
        gaps = (points.seen_xy - shape @ linear[:2].T - shift) * points.weights[:, None] / points.noise_px
        return np.concatenate([gaps.reshape(-1), -at[:2] / points.upright_rad])

    step = np.array([1e-4, 1e-4, 1e-4, 1e-4, 1e-2, 1e-2])
    for _ in range(POSE_STEPS):
        here = rest(pose)
        slope = np.stack([(rest(pose + np.diag(step)[k]) - here) / step[k] for k in range(6)], axis=1)
        pose = pose - np.linalg.lstsq(slope, here, rcond=None)[0]
    return pose


def plate(places: NDArray[np.float64], moves: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, 2) moves at the asked places of a thin plate that is moved at n places; flat far away."""
    span = float(np.ptp(places, axis=0).max())
    one, other = places / span, asked / span
    count = len(places)
    square = np.zeros((count + 3, count + 3))
    square[:count, :count] = _kernel(one, one) + STIFFNESS * np.eye(count)
    square[:count, count:] = square[count:, :count].T
    square[:count, count:] = np.column_stack([np.ones(count), one])
    square[count:, :count] = square[:count, count:].T
    weights = np.linalg.solve(square, np.vstack([moves, np.zeros((3, 2))]))
    flat: NDArray[np.float64] = np.column_stack([np.ones(len(other)), other]) @ weights[count:]
    return flat + _kernel(other, one) @ weights[:count]


def _kernel(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = ((one[:, None] - other[None]) ** 2).sum(2)
    return 0.5 * squares * np.log(np.maximum(squares, 1e-12))
