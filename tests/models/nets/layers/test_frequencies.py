"""The published index lists, written out as cfzd/FcaNet `model/layer.py` publishes them."""

import pytest

from contract.errors import BadRequest
from models.nets.layers.frequencies import COUNTS, PUBLISHED, checked, on_side, published

HEIGHTS = {
    "top": [0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2, 4, 6, 3, 5, 5, 2, 6, 5, 5, 3, 3, 4, 2, 2, 6, 1],
    "low": [0, 0, 1, 1, 0, 2, 2, 1, 2, 0, 3, 4, 0, 1, 3, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4],
    "bot": [6, 1, 3, 3, 2, 4, 1, 2, 4, 4, 5, 1, 4, 6, 2, 5, 6, 1, 6, 2, 2, 4, 3, 3, 5, 5, 6, 2, 5, 5, 3, 6],
}
WIDTHS = {
    "top": [0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2, 6, 3, 3, 3, 5, 1, 1, 2, 4, 2, 1, 1, 3, 0, 5, 3],
    "low": [0, 1, 0, 1, 2, 0, 1, 2, 2, 3, 0, 0, 4, 3, 1, 5, 4, 3, 2, 1, 0, 6, 5, 4, 3, 2, 1, 0, 6, 5, 4, 3],
    "bot": [6, 4, 4, 6, 6, 3, 1, 4, 4, 5, 6, 5, 2, 2, 5, 1, 4, 3, 5, 0, 3, 1, 1, 2, 4, 2, 1, 1, 5, 3, 3, 3],
}


@pytest.mark.parametrize("order", ["top", "low", "bot"])
@pytest.mark.parametrize("count", COUNTS)
def test_each_of_the_eighteen_lists_is_the_published_one(order, count):
    assert published(f"{order}{count}") == tuple(zip(HEIGHTS[order][:count], WIDTHS[order][:count], strict=True))


def test_the_papers_two_choices_are_two_of_the_lists():
    assert published("lf") == ((0, 0), (0, 1))
    assert published("ts") == published("top16")
    assert len(PUBLISHED) == 20


def test_no_frequency_stands_twice_in_a_list():
    assert all(len(set(pairs)) == len(pairs) for pairs in PUBLISHED.values())


@pytest.mark.parametrize("name", ["top3", "low", "", "TOP16"])
def test_a_list_that_was_not_published_is_refused_with_those_that_were(name):
    with pytest.raises(BadRequest, match=r"top16.*bot32"):
        published(name)


@pytest.mark.parametrize("pairs", [[], [(0, 7)], [(-1, 0)]])
def test_pairs_outside_the_grid_are_refused(pairs):
    with pytest.raises(BadRequest, match=r"0\.\.6"):
        checked(pairs)


@pytest.mark.parametrize(
    ("index", "side", "frequency"),
    [(6, 7, 6), (1, 14, 2), (6, 56, 48), (3, 10, 3), (6, 4, 3), (1, 4, 0), (6, 1, 0)],
)
def test_a_grid_index_scales_with_the_side(index, side, frequency):
    assert on_side(index, side) == frequency
