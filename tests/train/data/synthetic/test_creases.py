"""Creases: there where a unit folds skin, deeper with its level, nowhere else."""

import numpy as np

from train.data.synthetic.creases import DEEPEST, STRONG_FROM, depth
from train.data.synthetic.mesh import Mesh


def test_frown_lines_stand_between_the_brows_on_both_sides(small_mesh: Mesh) -> None:
    x, y = small_mesh.neutral[:, 0], small_mesh.neutral[:, 1]

    shade = depth(small_mesh.neutral, {"AU4": 1.0}, 1.0)

    darkest = shade < 0.9
    assert darkest.any()
    assert (np.abs(x[darkest]) < 1.2).all()
    assert ((y[darkest] > 4.5) & (y[darkest] < 7.1)).all()
    assert np.allclose(shade.reshape(41, 41), shade.reshape(41, 41)[:, ::-1], atol=1e-6)
    assert shade.min() >= 1 - DEEPEST


def test_skin_creases_with_the_level_and_with_whose_it_is(small_mesh: Mesh) -> None:
    def darkest(level: float, deep: float) -> float:
        return float(depth(small_mesh.neutral, {"AU1": level, "AU9": level}, deep).min())

    assert darkest(1.0, 1.0) < darkest(0.5, 1.0) < darkest(STRONG_FROM, 1.0) == 1.0
    assert darkest(1.0, 1.0) < darkest(1.0, 0.4) < darkest(1.0, 0.0) == 1.0


def test_a_smile_and_a_face_at_rest_crease_nothing_here(small_mesh: Mesh) -> None:
    for levels in ({}, {"AU12": 1.0, "AU25": 1.0}):
        assert np.array_equal(depth(small_mesh.neutral, levels, 1.0), np.ones(len(small_mesh.neutral), np.float32))
