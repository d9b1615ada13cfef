"""Fitting: pose, identity and the rest come back from points that were made with them."""

import numpy as np
import pytest

from train.data.synthetic.fit import Points, camera, fit, plate
from train.data.synthetic.mesh import LANDMARKS, Mesh


def seen(mesh: Mesh, who: np.ndarray, pose: np.ndarray) -> Points:
    linear, shift = camera(pose)
    shape = (mesh.neutral + np.tensordot(who, mesh.identities, 1))[mesh.landmarks]
    points = shape @ linear[:2].T + shift
    return Points(points, np.eye(LANDMARKS), np.ones(LANDMARKS), upright_rad=0.5, noise_px=0.1)


def test_pose_and_identity_come_back(small_mesh: Mesh) -> None:
    pose = np.array([0.10, -0.15, 0.05, np.log(12.0), 150.0, 170.0])
    points = seen(small_mesh, np.array([0.8, -0.5]), pose)

    fitted = fit(small_mesh, points)

    linear, shift = camera(pose)
    assert fitted.error_px < 0.1  # the noise that was promised; the points have none
    assert np.abs(fitted.linear - linear).max() < 0.02 * 12  # two hundredths of the scale
    assert np.abs(fitted.shift - shift).max() < 1.5  # the prior on pose pulls by a fraction of a degree
    placed = fitted.project(fitted.vertices)[small_mesh.landmarks]
    assert np.abs(placed - points.seen_xy).max() < 0.05


def test_what_the_mesh_cannot_explain_is_bent_onto_the_points(small_mesh: Mesh) -> None:
    points = seen(small_mesh, np.zeros(2), np.array([0, 0, 0, np.log(12.0), 150.0, 170.0]))
    points.seen_xy[48] += (6.0, 0.0)  # one mouth corner is elsewhere

    fitted = fit(small_mesh, points)

    placed = fitted.project(fitted.vertices)[small_mesh.landmarks]
    assert fitted.error_px > 0.3
    assert np.abs(placed - points.seen_xy).max() < 0.6  # a tenth of the six: the plate is a little stiff


def test_a_plate_goes_through_its_points_and_carries_planes_exactly() -> None:
    random = np.random.default_rng(0)
    places, asked = random.uniform(0, 100, (12, 2)), random.uniform(-50, 150, (30, 2))
    tilt = np.array([[0.02, -0.01], [0.03, 0.01]])

    assert np.allclose(plate(places, places @ tilt + 1.0, asked), asked @ tilt + 1.0, atol=1e-6)
    moves = random.normal(size=(12, 2))
    assert np.abs(plate(places, moves, places) - moves).max() < 0.1 * np.abs(moves).max()


def test_a_camera_turns_the_mesh_upright() -> None:
    linear, shift = camera(np.array([0, 0, 0, np.log(2.0), 5.0, 7.0]))

    assert linear[:2] @ [1, 1, 0] == pytest.approx([2, -2])  # up in the mesh is towards row 0
    assert shift == pytest.approx([5, 7])
