import itertools

import numpy as np
import pytest

from ingest.faces.assign import assign, matched


def best_by_trying(cost):
    """The least total over all sets of pairs as large as can be."""
    rows, columns = cost.shape
    best = (0, 0.0)
    for size in range(min(rows, columns), 0, -1):
        totals = [
            sum(cost[row, column] for row, column in zip(chosen, order, strict=True))
            for chosen in itertools.combinations(range(rows), size)
            for order in itertools.permutations(range(columns), size)
        ]
        if min(totals) < np.inf:
            return size, min(totals)
    return best


@pytest.mark.parametrize("seed", range(40))
def test_the_assignment_is_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    cost = random.normal(0, 5, random.integers(1, 6, 2))
    cost[random.random(cost.shape) < 0.3] = np.inf

    pairs = assign(cost)

    size, total = best_by_trying(cost)
    assert len(pairs) == size
    assert sum(cost[pair] for pair in pairs) == pytest.approx(total, abs=1e-9)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == size


def test_what_is_worth_nothing_is_not_paired():
    assert matched(np.array([[3.0, -1.0], [-2.0, 0.0]])) == [(0, 0)]


def test_the_greatest_worth_in_all_is_taken_though_a_row_stays_alone():
    """Two pairs are worth 2 together, one pair alone 5."""
    assert matched(np.array([[5.0, 1.0], [1.0, -1.0]])) == [(0, 0)]


def test_nothing_is_paired_with_nothing():
    assert matched(np.zeros((0, 3))) == []
