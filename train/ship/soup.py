"""The weights of nets that began alike, averaged: often better than each, at the cost of one.

Source: shares along the line between a net and what it began from, Wortsman et al., Robust fine-tuning of zero-shot
models (CVPR 2022), sec. 3; several nets added one by one while validation rises, Wortsman et al., Model soups (ICML
2022), recipe 1. Statistics of norms are averaged like weights.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.errors import BadRequest, WeightsDoNotFit
from train import metrics
from train.data.faceset import FaceSet
from train.data.labels import labels_of
from train.learn.checkpoint import WeightsNote, read_weights, write_weights
from train.learn.validate import score_of
from train.measure.evaluate import logits_asked_of
from train.measure.judge import PROTOCOLS

SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)  # of the net that is added

Entries = Mapping[str, Tensor]
Say = Callable[[str], None]


def soup(files: Sequence[Path], faces: FaceSet, out: Path, say: Say = print) -> float:
    """Write the average that validates best, and return its accuracy on validation (mean F1 for action units).

    Args:
        files: weights of `mien train`; all but the first also in any form that `models.nets.reference_weights` reads,
            such as what the first began from.
        faces: a set with a split «validation»: shares are chosen on it, temperature and thresholds fitted.
        out: the file to write.
        say: told a line per net and share.

    Raises:
        BadRequest: fewer than two files, no labelled validation faces.
        WeightsDoNotFit: a file of another net.
    """
    if len(files) < 2:
        raise BadRequest(f"{len(files)} files of weights; wanted two or more to average")
    paths = [each / "weights.safetensors" if each.is_dir() else each for each in files]
    net, note = read_weights(paths[0])
    validation = _Validation(net, note, faces, say)
    alone = [validation.of(_name(path), _entries(path, net)) for path in paths]
    best, *others = sorted(alone, key=lambda mixture: -mixture.score)
    for other in others:
        mixtures = [
            validation.of(
                f"{1 - share:g} of {best.name}, {share:g} of {other.name}",
                blended(best.entries, other.entries, share),
            )
            for share in SHARES
        ]
        best = max((best, *mixtures), key=lambda mixture: mixture.score)  # the earlier where two are equal
    write_weights(out, best.entries, validation.noted(best))
    say(f"{out}: {best.name}")
    return best.score


@dataclass(frozen=True, slots=True)
class _Mixture:
    name: str
    entries: Entries
    score: float


class _Validation:
    """What weights of this net are worth."""

    def __init__(self, net: nn.Module, note: WeightsNote, faces: FaceSet, say: Say) -> None:
        labels = labels_of(faces, PROTOCOLS[faces.kind][0])
        if labels.names != note.labels:
            raise BadRequest(f"{faces.name} has {', '.join(labels.names)}; the net answers {', '.join(note.labels)}")
        rows = faces.rows(["validation"])
        self._rows = rows[labels.known[rows]]
        if not len(self._rows):
            raise BadRequest(f"{faces.name}: no labelled face in the split 'validation'")
        self._net, self._note, self._faces, self._say = net, note, faces, say
        self._truth = labels.hard[self._rows]

    def of(self, name: str, entries: Entries) -> _Mixture:
        """The weights with their score, which is told."""
        score = score_of(self._logits(entries), self._truth, "accuracy")
        self._say(f"{name}: {score:.4f}")
        return _Mixture(name, entries, score)

    def noted(self, mixture: _Mixture) -> WeightsNote:
        """The note of these weights, their temperature and thresholds fitted."""
        logits, several = self._logits(mixture.entries), self._truth.ndim == 2
        temperature = metrics.fit_temperature(logits, self._truth)
        chosen = metrics.best_thresholds(metrics.sigmoid(logits, temperature), self._truth) if several else ()
        return dataclasses.replace(
            self._note,
            temperature=temperature,
            thresholds=tuple(float(each) for each in chosen),
            measurements={f"validation {'mean_f1' if several else 'accuracy'}": mixture.score},
            trained="; ".join(filter(None, (self._note.trained, f"averaged: {mixture.name}"))),
        )

    def _logits(self, entries: Entries) -> NDArray[np.float32]:
        self._net.load_state_dict(dict(entries))
        return logits_asked_of(self._net, self._note, self._faces, self._rows)


def _name(path: Path) -> str:
    """Of the run where the file has no name of its own."""
    return path.parent.name if path.name == "weights.safetensors" else path.stem


def blended(one: Entries, other: Entries, share: float) -> dict[str, Tensor]:
    """(1 - share) of the one and `share` of the other; counters stay."""
    return {
        name: torch.lerp(entry, other[name], share) if entry.is_floating_point() else entry
        for name, entry in one.items()
    }


def _entries(path: Path, like: nn.Module) -> Entries:
    """All entries of a file, as those of this net."""
    from models.nets.reference_weights import load_reference_weights  # needs safetensors

    net = copy.deepcopy(like)
    left = load_reference_weights(net, path, part="inference")
    if left and any(not name.endswith("num_batches_tracked") for name in left):
        raise WeightsDoNotFit(f"{path}: {left[0]} is missing: a file of another net")
    return net.state_dict()
