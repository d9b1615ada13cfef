"""What predictions are worth: expressions, calibration, action units. Numpy alone; the definitions stand with each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Classes = NDArray[np.int64]
BINS = 15


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """(N, K) shares that sum to one."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares


def sigmoid(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Chances, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64) / temperature)), np.float64)


def confusion(truth: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """(K, K) counts, rows true, columns predicted; rows with truth −1 do not count."""
    known = truth >= 0
    flat = np.bincount(truth[known] * classes + predicted[known], minlength=classes * classes)
    return flat.reshape(classes, classes)


def accuracy(counts: NDArray[np.int64]) -> float:
    """Share of the diagonal; NaN for no example."""
    return float(np.trace(counts)) / total if (total := int(counts.sum())) else float("nan")


def recalls(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) share of each true class that is found; NaN where there is none."""
    return _share(np.diag(counts), counts.sum(1))


def f1_scores(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) 2 TP / (2 TP + FP + FN); NaN for a class that is neither there nor predicted."""
    return _share(2 * np.diag(counts), counts.sum(0) + counts.sum(1))


def macro(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Mean over the classes that are there."""
    there = counts.sum(1) > 0
    return float(np.nan_to_num(values[there]).mean()) if there.any() else float("nan")


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return share


@dataclass(frozen=True, slots=True)
class Reliability:
    """How sure and how right, in bins of confidence of equal width."""

    confidence: NDArray[np.float64]  # (bins,) mean; NaN for an empty bin
    accuracy: NDArray[np.float64]  # (bins,)
    count: NDArray[np.int64]  # (bins,)

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini et al. 2015; Guo et al. 2017, eq. 3)."""
        gaps = np.nan_to_num(np.abs(self.confidence - self.accuracy))
        return float((gaps * self.count).sum() / max(1, self.count.sum()))


def reliability(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Bins ((k − 1) / n, k / n] of the confidence of the answer given."""
    place = np.clip(np.ceil(np.asarray(confidence, np.float64) * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sure = np.bincount(place, weights=confidence, minlength=bins)
    hits = np.bincount(place, weights=right.astype(float), minlength=bins)
    return Reliability(_share(sure, count), _share(hits, count), count)


def fit_temperature(logits: Floats, truth: Classes) -> float:
    """The temperature that makes the known answers most likely (Guo et al. 2017, sec. 4.2), between 0.05 and 20.

    `truth` is (N,) classes for a softmax or (N, K) of −1, 0, 1 for sigmoids. The likelihood has one maximum in
    1 / temperature, found by golden sections of its logarithm.
    """
    low, high, ratio = np.log(0.05), np.log(20.0), (np.sqrt(5.0) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if surprise(logits, truth, float(np.exp(left))) < surprise(logits, truth, float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def surprise(logits: Floats, truth: Classes, temperature: float = 1.0) -> float:
    """Mean negative logarithm of the chance given to what is true."""
    scaled = np.asarray(logits, np.float64) / temperature
    if truth.ndim == 2:
        known = truth >= 0
        return float(np.logaddexp(0.0, np.where(truth > 0, -scaled, scaled))[known].mean())
    known = truth >= 0
    rows = scaled[known] - scaled[known].max(1, keepdims=True)
    return float((np.log(np.exp(rows).sum(1)) - rows[np.arange(len(rows)), truth[known]]).mean())


def unit_counts(chances: Floats, truth: Classes, thresholds: Floats) -> NDArray[np.int64]:
    """(units, 3): true positives, false positives, false negatives where the truth is known; ≥ threshold is active."""
    active, known = chances >= np.asarray(thresholds), truth >= 0
    parts = (active & (truth == 1), active & (truth == 0), ~active & (truth == 1))
    return np.stack([(part & known).sum(0) for part in parts], axis=1)


def unit_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(units,) F1; NaN for a unit that is neither there nor predicted."""
    return _share(2 * counts[:, 0], 2 * counts[:, 0] + counts[:, 1] + counts[:, 2])


def best_thresholds(chances: Floats, truth: Classes) -> NDArray[np.float64]:
    """(units,) the threshold with the highest F1, halfway to the next lower chance; 0.5 for a unit never seen.

    Choose them on validation and state them with the numbers: chosen on the test set they flatter.
    """
    return np.array([_best_threshold(chances[:, unit], truth[:, unit]) for unit in range(chances.shape[1])])


def _best_threshold(chances: Floats, truth: Classes) -> float:
    known = truth >= 0
    order = np.argsort(-chances[known], kind="stable")
    sorted_, positive = np.asarray(chances[known], np.float64)[order], (truth[known] == 1)[order]
    if not positive.any():
        return 0.5
    ends = np.flatnonzero(np.append(np.diff(sorted_) != 0, True))  # only between different chances can a line be drawn
    hits = np.cumsum(positive)[ends]
    best = ends[int(np.argmax(2 * hits / (ends + 1 + positive.sum())))]
    below = sorted_[best + 1] if best + 1 < len(sorted_) else 0.0
    return float((sorted_[best] + below) / 2)


def auc(scores: Floats, truth: Classes) -> float:
    """Chance that a positive scores above a negative, ties half (Mann and Whitney); NaN with only one kind."""
    known = truth >= 0
    values, positive = np.asarray(scores)[known], truth[known] == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def agreement(one: Classes, other: Classes) -> Mapping[str, float]:
    """Share of equal answers, and Cohen's κ: how far it exceeds what their frequencies alone would give."""
    same = float((one == other).mean())
    kinds = int(max(one.max(), other.max())) + 1
    chance = float((np.bincount(one, minlength=kinds) * np.bincount(other, minlength=kinds)).sum() / len(one) ** 2)
    return {"agreement": same, "kappa": (same - chance) / (1 - chance) if chance < 1 else 1.0}


def quantile_groups(values: Floats, groups: int = 4) -> list[tuple[float, float, NDArray[np.bool_]]]:
    """(from, to, which) of equally large groups of the values, lowest first; fewer where many are equal."""
    edges = np.unique(np.quantile(np.asarray(values, np.float64), np.linspace(0, 1, groups + 1)))
    if len(edges) == 1:
        return [(float(edges[0]), float(edges[0]), np.ones(len(values), np.bool_))]
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return [(float(edges[i]), float(edges[i + 1]), place == i) for i in range(len(edges) - 1) if (place == i).any()]
