"""Nets that teach another: it learns what they say of the very pictures it sees, beside the labels."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from contract.errors import WeightsDoNotFit
from train.learn.checkpoint import read_weights
from train.recipe import Recipe


class Teachers:
    """The mean of what trained nets say, mixed into the labels.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network (2015), sec. 2, at temperature 1, where
    both losses are one cross-entropy to the mixed target; the same augmented and mixed picture for both: Beyer et al.,
    Knowledge distillation: A good teacher is patient and consistent (CVPR 2022).

    Args:
        recipe: `loss.teachers` are files of `mien train`, `loss.teacher_weight` is their share of the target.
        labels: of the net that learns.
        device: where the pictures are.

    Raises:
        WeightsDoNotFit: a file is none of this project's, or of a net with other labels or another input.
    """

    def __init__(self, recipe: Recipe, labels: Sequence[str], device: torch.device) -> None:
        self._share, self._nets = recipe.loss.teacher_weight, []
        for path in map(Path, recipe.loss.teachers):
            net, note = read_weights(path)
            wanted = (tuple(labels), recipe.net.edge, recipe.data.mean, recipe.data.std, recipe.data.grey)
            seen = (note.labels, note.edge, note.mean, note.std, note.grey)
            for what, one, other in zip(("labels", "edge", "mean", "std", "grey"), seen, wanted, strict=True):
                if one != other:
                    raise WeightsDoNotFit(f"{path}: a teacher with {what} {one}, the net that learns has {other}")
            layout = torch.channels_last if recipe.run.channels_last else torch.contiguous_format
            self._nets.append(net.requires_grad_(False).to(device, memory_format=layout))  # type: ignore[call-overload]

    @torch.no_grad()
    def targets(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """(B, K) of normalised pictures (B, 3, E, E) and the labels' share in each (B, K)."""
        if not self._nets:
            return targets
        said = torch.stack([net(pictures).float().softmax(1) for net in self._nets]).mean(0)
        return (1 - self._share) * targets + self._share * said
