"""What a run keeps in its folder: the checkpoint to go on from, and the best weights."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contract.errors import BadRequest
from train.learn.checkpoint import (
    CHECKPOINT,
    check_same,
    entries_of,
    fitted,
    optimiser_tensors,
    restore_optimiser,
)
from train.learn.objective import Average, Objective
from train.learn.tensors import read_tensors, write_tensors
from train.recipe import Recipe


@dataclass(slots=True)
class Best:
    """The weights of the best epoch so far, and whether the file on the disk holds them."""

    epoch: int = 0
    score: float = -math.inf
    entries: dict[str, Tensor] = field(default_factory=dict)
    written: int = 0  # the epoch whose weights the file holds; 0: none of this run's

    def offer(self, objective: Objective, epoch: int, score: float) -> bool:
        """Keep a copy of the weights if they score better, and return whether they did."""
        if not score > self.score:
            return False
        self.epoch, self.score, self.entries = epoch, score, entries_of(objective.net)
        return True

    @property
    def is_new(self) -> bool:
        """Whether there are weights that the file does not hold."""
        return bool(self.entries) and self.written != self.epoch


@dataclass(slots=True)
class State:
    """All that changes while a net learns."""

    objective: Objective
    optimiser: torch.optim.Optimizer
    average: Average | None
    best: Best = field(default_factory=Best)
    epoch: int = 0


def write_checkpoint(path: Path, state: State, recipe: Recipe, note: Mapping[str, Any]) -> None:
    """Write all that a run needs to go on, whole or not at all.

    Args:
        path: of the file; an older one stays where it cannot be written.
        state: of the run.
        recipe: of the run; a resume must have the same one.
        note: what else is known: «data_sha256», «processes», «spent_s».

    Raises:
        BadOutput: full disk, no permission.
    """
    best = state.best
    tensors = {f"objective.{name}": each for name, each in state.objective.state_dict().items()}
    tensors |= optimiser_tensors(state.optimiser, "optimiser.")
    tensors |= {f"best.{name}": each for name, each in best.entries.items()}
    whole: dict[str, Any] = {"schema": CHECKPOINT, "recipe": dataclasses.asdict(recipe), **note}
    whole |= {"epoch": state.epoch, "best_epoch": best.epoch, "best_score": best.score, "torch": torch.__version__}
    if state.average:
        tensors |= {f"average.{name}": each for name, each in state.average.module.state_dict().items()}
        whole["average_steps"] = state.average.steps
    write_tensors(path, tensors, whole)


def read_checkpoint(
    path: Path, state: State, recipe: Recipe, data_sha256: str, processes: int, device: torch.device
) -> float:
    """Put a run's state back to that of a checkpoint, and return the seconds that were spent until then.

    Raises:
        WeightsDoNotFit: no checkpoint, or one of another net.
        BadRequest: of another recipe, set or number of processes; names the first difference.
    """
    tensors, note = read_tensors(path)
    if note.get("schema") != CHECKPOINT:
        raise BadRequest(f"{path}: schema {note.get('schema')!r}, wanted {CHECKPOINT}")
    fitted(path, state.objective, tensors, "objective.")
    check_same(path, note, recipe, data_sha256, processes)
    if state.average:
        fitted(path, state.average.module, tensors, "average.")
        state.average.steps = note["average_steps"]
    restore_optimiser(state.optimiser, tensors, "optimiser.")
    kept = {name.removeprefix("best."): each.to(device) for name, each in tensors.items() if name[:5] == "best."}
    state.best = Best(note["best_epoch"], note["best_score"], kept)
    state.epoch = note["epoch"]
    return float(note.get("spent_s", 0.0))
