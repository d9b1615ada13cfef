"""From logits and labels to the numbers of an evaluation, as plain values that are written as JSON. Numpy alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train import metrics
from train.data.faceset import FaceSet
from train.data.labels import Labels, labels_of

Logits = NDArray[np.float32]
PROTOCOLS = {"votes": ("majority", "argmax"), "class": ("class",), "intensity": ("units",), "presence": ("units",)}
LEAST_GROUP = 20  # faces: fewer say nothing


@dataclass(frozen=True, slots=True)
class Answers:
    """What a net said of each face."""

    name: str
    labels: tuple[str, ...]
    logits: Logits  # (N, labels)
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()  # of units; none: one half


def judge(answers: Answers, faces: FaceSet, rows: NDArray[np.int64]) -> dict[str, Any]:
    """All numbers of one net on these rows of a set; `answers.logits` has one row for each.

    Compared are the labels that both know; the net chooses among these.
    """
    judged: dict[str, Any] = {"name": answers.name, "faces": len(rows)}
    for protocol in PROTOCOLS[faces.kind]:
        labels = labels_of(faces, protocol)
        common, logits, truth = shared(answers, labels, rows)
        judged["labels"] = list(common)
        if labels.are_units:
            thresholds = np.array(answers.thresholds or [0.5] * len(answers.labels))
            chosen = thresholds[[answers.labels.index(name) for name in common]]
            return judged | judge_units(common, logits, truth, chosen, answers.temperature)
        judged.setdefault("protocols", {})[protocol] = judge_classes(common, logits, truth)
        if "calibration" not in judged:
            judged["calibration"] = calibration(logits, truth, answers.temperature)
            right = logits.argmax(1) == truth
            judged["by_face_px"] = by_group(faces.face_px[rows], right, truth >= 0)
            judged["by_sharpness"] = by_group(faces.sharpness[rows], right, truth >= 0)
    return judged


def shared(answers: Answers, labels: Labels, rows: NDArray[np.int64]) -> tuple[tuple[str, ...], Logits, Any]:
    """The labels that both know, in the net's order, with the logits and the truth for them alone."""
    common = tuple(name for name in answers.labels if name in labels.names)
    logits = answers.logits[:, [answers.labels.index(name) for name in common]]
    truth = labels.hard[rows]
    if labels.are_units:
        return common, logits, truth[:, [labels.names.index(name) for name in common]]
    place = np.array([common.index(name) if name in common else -1 for name in labels.names] + [-1])
    return common, logits, place[truth]  # −1 stays −1: it points at the last


def judge_classes(names: Sequence[str], logits: Logits, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy, recall and F1 by class, confusion; rows without a label do not count."""
    counts = metrics.confusion(truth, logits.argmax(1), len(names))
    recall, f1 = metrics.recalls(counts), metrics.f1_scores(counts)
    return {
        "faces": int(counts.sum()),
        "accuracy": metrics.accuracy(counts),
        "accuracy_95": wilson(int(np.trace(counts)), int(counts.sum())),
        "macro_recall": metrics.macro(recall, counts),
        "macro_f1": metrics.macro(f1, counts),
        "recall": _named(names, recall),
        "f1": _named(names, f1),
        "confusion": counts.tolist(),
    }


def wilson(hits: int, count: int) -> list[float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, share, whole = 1.959964, hits / max(count, 1), max(count, 1)
    middle, spread = share + z * z / (2 * whole), z * np.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return [float(each / (1 + z * z / whole)) for each in (middle - spread, middle + spread)]


def calibration(logits: Logits, truth: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """Calibration error as the net is used, and with a temperature fitted on one half and measured on the other."""
    known = truth >= 0
    logits, truth = logits[known], truth[known]
    used = _reliability(logits, truth, temperature)
    return {
        "temperature": temperature,
        "ece": used.error,
        "surprise": metrics.surprise(logits, truth, temperature),
        "fitted_temperature": metrics.fit_temperature(logits, truth),
        "ece_fitted_on_the_other_half": _cross_fitted(logits, truth),
        "bins": {
            "confidence": _plain(used.confidence),
            "accuracy": _plain(used.accuracy),
            "count": used.count.tolist(),
        },
    }


def _reliability(logits: Logits, truth: NDArray[np.int64], temperature: float) -> metrics.Reliability:
    chances = metrics.softmax(logits, temperature)
    return metrics.reliability(chances.max(1), chances.argmax(1) == truth)


def _cross_fitted(logits: Logits, truth: NDArray[np.int64]) -> float:
    half = np.arange(len(truth)) % 2 == 0
    errors = [
        _reliability(logits[side], truth[side], metrics.fit_temperature(logits[~side], truth[~side])).error
        for side in (half, ~half)
        if side.any() and (~side).any()
    ]
    return float(np.mean(errors)) if errors else float("nan")


def by_group(values: NDArray[np.float32], right: NDArray[np.bool_], known: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Accuracy in four equally large groups of a quality, lowest first."""
    if known.sum() < LEAST_GROUP:
        return []
    groups = metrics.quantile_groups(values[known])
    return [
        {"from": low, "to": high, "faces": int(which.sum()), "accuracy": float(right[known][which].mean())}
        for low, high, which in groups
    ]


def judge_units(
    names: Sequence[str],
    logits: Logits,
    truth: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    temperature: float = 1.0,
) -> dict[str, Any]:
    """F1 and AUC by unit; units that nobody labelled do not count in the means."""
    chances = metrics.sigmoid(logits, temperature)
    counts = metrics.unit_counts(chances, truth, thresholds)
    f1 = metrics.unit_f1(counts)
    auc = np.array([metrics.auc(chances[:, unit], truth[:, unit]) for unit in range(len(names))])
    positives, known = (truth == 1).sum(0), (truth >= 0).sum(0)
    sure = metrics.reliability(
        np.maximum(chances, 1 - chances)[truth >= 0], ((chances >= 0.5) == (truth == 1))[truth >= 0]
    )
    return {
        "units": {
            name: {
                "f1": _number(f1[unit]),
                "auc": _number(auc[unit]),
                "threshold": float(thresholds[unit]),
                "positives": int(positives[unit]),
                "labelled": int(known[unit]),
            }
            for unit, name in enumerate(names)
        },
        "mean_f1": _mean(np.where(positives > 0, np.nan_to_num(f1), np.nan)),
        "mean_auc": _mean(auc),
        "calibration": {"temperature": temperature, "ece": sure.error},
    }


def together(every: Sequence[Answers]) -> Answers:
    """The mean of the nets' chances, over the labels that all of them know, as logits."""
    common = tuple(name for name in every[0].labels if all(name in one.labels for one in every))
    units = any(one.thresholds for one in every) or (common[:1] and common[0].startswith("AU"))
    chances = []
    for one in every:
        logits = one.logits[:, [one.labels.index(name) for name in common]]
        chances.append((metrics.sigmoid if units else metrics.softmax)(logits, one.temperature))
    mean = np.clip(np.mean(chances, axis=0), 1e-12, 1 - 1e-12)
    logits = np.log(mean / (1 - mean)) if units else np.log(mean)
    return Answers("mean of " + ", ".join(one.name for one in every), common, logits.astype(np.float32))


def agreements(every: Sequence[Answers]) -> list[dict[str, Any]]:
    """How often each two nets answer the same, and Cohen's κ; of classes."""
    return [
        {"nets": [one.name, other.name], **metrics.agreement(one.logits.argmax(1), other.logits.argmax(1))}
        for place, one in enumerate(every)
        for other in every[place + 1 :]
        if one.labels == other.labels
    ]


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, values, strict=True)}


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [_number(value) for value in values]


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
