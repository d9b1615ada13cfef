"""Units: shapes of the mesh, labels by intensity, and what is drawn at random."""

import numpy as np
import pytest

from contract.labels import ACTION_UNITS
from train.data.synthetic.units import GAP_FULL, SHAPES, draw_movement, intensity, labelled, movement


def test_every_unit_of_the_contract_has_shapes() -> None:
    assert tuple(SHAPES) == ACTION_UNITS


@pytest.mark.parametrize(("level", "wanted"), [(0.0, 0), (0.09, 0), (0.2, 1), (0.4, 2), (0.6, 3), (1.0, 5), (1.4, 5)])
def test_intensities_are_fifths_of_a_shape(level: float, wanted: int) -> None:
    assert intensity(level) == wanted


def test_a_unit_moves_both_sides() -> None:
    made = movement({"AU12": 0.6, "AU26": 1.0})

    assert made.shapes == {"mouthSmile_L": 0.6, "mouthSmile_R": 0.6, "jawOpen": 0.45}
    assert made.intensities == (0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 5)


def test_lips_that_part_are_au25_whatever_parted_them() -> None:
    jaw = movement({"AU26": 1.0})

    assert labelled(jaw, 0.5 * GAP_FULL)[ACTION_UNITS.index("AU25")] == 2  # 2.5 rounds to the even
    assert labelled(movement({"AU25": 1.0}), 0.0)[ACTION_UNITS.index("AU25")] == 0


def test_drawn_movements_repeat_with_their_seed_and_show_every_unit() -> None:
    one, other = ([draw_movement(np.random.default_rng([s, n])) for n in range(400)] for s in (0, 0))

    assert one == other
    active = (np.array([each.intensities for each in one]) >= 2).mean(0)
    assert (active > 0.08).all()  # of 400 faces each unit is active in dozens
    assert (active < 0.5).all()
    assert all(0 <= weight < 2.5 for each in one for weight in each.shapes.values())
