"""Pairs rows with columns at the least total cost."""

import numpy as np
from numpy.typing import NDArray


def assign(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return pairs (row, column) of least total cost with as many pairs as can be; infinite entries are never paired.

    Source: the Hungarian method by shortest augmenting paths (Jonker & Volgenant 1987), one row at a time.
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((row, column) for column, row in assign(cost.T))
    finite = cost[np.isfinite(cost)]
    if not len(finite):
        return []
    never = 1.0 + 2.0 * (rows + 1) * float(np.abs(finite).max() + 1.0)
    full = np.where(np.isfinite(cost), cost, never)
    row_price, column_price = np.zeros(rows), np.zeros(columns + 1)
    owner = np.full(columns + 1, -1)  # of each column; the last one is where a path begins
    for row in range(rows):
        owner[columns] = row
        column, distance, before = columns, np.full(columns, np.inf), np.full(columns, columns)
        done = np.zeros(columns + 1, np.bool_)
        while owner[column] >= 0:
            done[column] = True
            here = owner[column]
            step = full[here] - row_price[here] - column_price[:columns]
            better = ~done[:columns] & (step < distance)
            distance[better], before[better] = step[better], column
            open_ = np.where(done[:columns], np.inf, distance)
            nearest = int(open_.argmin())
            least = open_[nearest]
            row_price[owner[done]] += least
            column_price[done] -= least
            distance[~done[:columns]] -= least
            column = nearest
        while column != columns:
            owner[column] = owner[before[column]]
            column = int(before[column])
    pairs = [(int(owner[column]), column) for column in range(columns) if owner[column] >= 0]
    return sorted((row, column) for row, column in pairs if np.isfinite(cost[row, column]))


def matched(worth: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the greatest total worth; entries of 0 and less are never paired."""
    if not worth.size:
        return []
    gain = np.maximum(worth, 0.0)
    return [(row, column) for row, column in assign(-gain) if gain[row, column] > 0]
