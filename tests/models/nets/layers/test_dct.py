"""The cosine basis and its view through a pooling."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.nets.layers.dct import cosine, planes, pooling, seen_through_pooling


@pytest.mark.parametrize("side", [1, 4, 7, 14, 28, 56])
def test_the_cosines_of_one_side_are_orthonormal(side):
    basis = np.stack([cosine(frequency, side) for frequency in range(side)])

    np.testing.assert_allclose(basis @ basis.T, np.eye(side), atol=1e-13)


def test_all_49_planes_are_orthonormal_and_rows_are_the_height():
    basis = planes([(u, v) for u in range(7) for v in range(7)], 7).reshape(49, 49)
    tall = planes([(1, 0)], 7)[0]

    np.testing.assert_allclose(basis @ basis.T, np.eye(49), atol=1e-13)
    np.testing.assert_allclose(tall[:, 0], tall[:, 6])
    assert tall[0, 0] > 0 > tall[6, 0]


def test_values_are_those_of_the_equation():
    value = planes([(3, 2)], 14)[0, 5, 9]  # (3, 2) of the grid is (6, 4) of a 14 x 14 map

    wanted = 2 / 14 * math.cos(math.pi * 6 * 5.5 / 14) * math.cos(math.pi * 4 * 9.5 / 14)
    assert value == pytest.approx(wanted, rel=1e-13)
    assert cosine(0, 5, orthonormal=False).tolist() == [1.0] * 5


def test_a_grid_frequency_keeps_its_share_of_the_map_at_every_size():
    smooth = planes([(1, 0)], 7)[0, :, 0] * math.sqrt(7 / 2)
    double = planes([(1, 0)], 14)[0, :, 0] * math.sqrt(14 / 2)

    assert np.abs(smooth).max() == pytest.approx(math.cos(math.pi / 14) / math.sqrt(7))
    assert double[:2].tolist() == pytest.approx([math.cos(math.pi * 2 * t / 14) / math.sqrt(14) for t in (0.5, 1.5)])


def test_below_the_grid_frequencies_shrink_with_the_map_and_do_not_all_become_the_mean():
    seen = {tuple(plane.flatten().tolist()) for plane in planes([(u, 0) for u in range(7)], 4)}

    assert len(seen) == 4  # 0, 0, 1, 1, 2, 2, 3 of a 4 x 4 map


@pytest.mark.parametrize(("side", "pooled"), [(28, 56), (4, 7), (14, 7), (10, 7), (7, 7), (1, 7), (56, 56)])
def test_pooling_is_adaptive_average_pooling(side, pooled):
    x = torch.randn(3, 2, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = torch.from_numpy(pooling(side, pooled))

    assert torch.allclose(matrix @ x @ matrix.T, functional.adaptive_avg_pool2d(x, pooled), atol=1e-14)


def test_planes_seen_through_a_pooling_do_what_the_pooling_would():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, generator=generator)
    basis = planes([(2, 5), (0, 1)], 7)

    pooled = (functional.adaptive_avg_pool2d(x, 7) * torch.from_numpy(basis)).sum((2, 3))
    direct = (x * torch.from_numpy(seen_through_pooling(basis, 4))).sum((2, 3))

    assert torch.allclose(pooled, direct, rtol=1e-13)
