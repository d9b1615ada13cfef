"""Train: epochs over a prepared set until validation stops rising; goes on exactly where a checkpoint was made."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.errors import TrainingDiverged
from train import metrics
from train.data.faceset import FaceSet
from train.data.labels import labels_of
from train.learn import balance
from train.learn.augment import Pictures, mixed
from train.learn.checkpoint import WeightsNote, entries_of, note_for, write_weights
from train.learn.feed import Feed
from train.learn.objective import Average, Objective
from train.learn.processes import Processes
from train.learn.saving import State, read_checkpoint, write_checkpoint
from train.learn.schedule import centre_optimiser, optimiser_of, rate_at
from train.learn.start import begin, origins, some_pictures
from train.learn.teacher import Teachers
from train.learn.validate import logits_of, score_of
from train.learn.watch import Watch
from train.recipe import Recipe

CHECK_EVERY = 50  # steps between looks at the loss: a look makes the GPU wait
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a run stops before its recipe ends, and how often it writes."""

    stop_after: int = 0  # epochs; 0: the recipe's
    seconds: float = math.inf
    checkpoint_every: int = 1  # epochs


class Trainer:
    """A recipe, a set and all that changes while one learns from the other."""

    def __init__(self, recipe: Recipe, faces: FaceSet, folder: Path, processes: Processes, watch: Watch) -> None:
        self.recipe, self.faces, self.folder, self.processes, self.watch = recipe, faces, folder, processes, watch
        self.labels = labels_of(faces, recipe.data.labels, recipe.data.active_from)
        self.train_rows, self.validation_rows = balance.split(recipe, faces, self.labels)
        torch.manual_seed(recipe.run.seed)
        if recipe.run.deterministic:
            torch.use_deterministic_algorithms(True)
        self.device = processes.device
        self.pictures, self.feed = Pictures(recipe.net.edge, recipe.augment, recipe.data), Feed(faces, self.device)
        objective = Objective(recipe, len(self.labels.names))
        layout = torch.channels_last if recipe.run.channels_last else torch.contiguous_format
        self.objective = objective.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        if recipe.net.start:
            self._begin()
        average = Average(self.objective, recipe.optimiser.average) if recipe.optimiser.average else None
        self.state = State(self.objective, optimiser_of(self.objective, recipe.optimiser), average)
        self.centres = centre_optimiser(self.objective, recipe.loss.centre_rate)
        self.teachers = Teachers(recipe, self.labels.names, self.device)
        self.began, self.spent_before = time.monotonic(), 0.0  # s; of runs that this one goes on with

    def _begin(self) -> None:
        """From the recipe's weights; written too: `mien soup` averages the end with the beginning."""
        begin(self.objective.net, self.recipe, some_pictures(self.recipe, self.pictures, self.feed, self.train_rows))
        if self.processes.is_first:
            note = note_for(self.recipe, self.labels.names, (self.faces.name, self.faces.digest, 0), 0)
            write_weights(self.folder / "start.safetensors", entries_of(self.objective.net), note)

    def run(self, bounds: Bounds = Bounds()) -> dict[str, Any]:
        """Train to the end and return the summary; `weights.safetensors` holds the best epoch.

        Raises:
            TrainingDiverged: the loss is not a number; the last good checkpoint stays.
        """
        learner, loss = self._learner(), math.nan
        last = min(bounds.stop_after or self.recipe.run.epochs, self.recipe.run.epochs)
        while self.epoch < last and not self._should_stop(bounds):
            began, self.state.epoch = time.monotonic(), self.epoch + 1
            self.objective.stem_only = self.epoch <= self.recipe.net.stem_epochs
            loss, seen = self._learn(learner)
            speed = seen / max(1e-9, time.monotonic() - began)
            score, better = self._validate()
            numbers = {"epoch": self.epoch, "loss": loss, "score": score, "better": better, "images_per_s": speed}
            self.watch.epoch({**numbers, "rate": self._rate(1.0), "epoch_s": time.monotonic() - began})
            if self.epoch % bounds.checkpoint_every == 0:
                self.write()
        if self.epoch % bounds.checkpoint_every or not self.checkpoint.is_file():
            self.write()
        return self._summary(loss)

    def _learner(self) -> nn.Module:
        if self.recipe.run.compile and self.device.type == "cuda":
            self.objective.compile()
        if self.processes.count == 1:
            alone: nn.Module = self.objective
            return alone
        place = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            self.objective, device_ids=place, find_unused_parameters=bool(self.recipe.net.stem_epochs)
        )

    def _learn(self, learner: nn.Module) -> tuple[float, int]:
        """One epoch; mean loss and number of faces over all processes."""
        seed, run = [self.recipe.run.seed, self.epoch], self.recipe.run
        rows, soft = balance.epoch(
            self.faces, self.labels, self.train_rows, self.recipe.data, np.random.default_rng(seed)
        )
        mine = np.random.default_rng([*seed, self.processes.rank + 1])  # each process its own pictures
        torch.manual_seed(int(mine.integers(2**62)))  # the net's own draws: dropout, MAD, MSAD
        random = torch.Generator(self.device).manual_seed(int(mine.integers(2**62)))
        batch = min(run.batch, len(rows))
        steps, share = len(rows) // batch, batch // self.processes.count
        total = torch.zeros((), device=self.device)
        learner.train()
        for step in range(steps):
            begin = step * batch + self.processes.rank * share
            here = slice(begin, begin + share)
            self._set_rate(step / steps, steps)
            loss = self._step(learner, rows[here], torch.from_numpy(soft[here]), random, mine)
            total += loss
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                self._check(total, step + 1)
            self.watch.step(self.epoch, step + 1, steps, share * self.processes.count)
        return float(self.processes.mean(total)) / steps, steps * share * self.processes.count

    def _step(
        self, learner: nn.Module, rows: Rows, soft: Tensor, random: torch.Generator, host: np.random.Generator
    ) -> Tensor:
        """Learn from one batch; its loss, on the device."""
        pictures = self.pictures.training(*self.feed(rows), random)
        pictures, targets = mixed(pictures, soft.to(self.device, non_blocking=True), self.recipe.loss.mixup, host)
        if self.recipe.run.channels_last:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        with self._arithmetic():
            targets = self.teachers.targets(pictures, targets)
            loss: Tensor = learner(pictures, targets)
        for optimiser in filter(None, (self.state.optimiser, self.centres)):
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.optimiser.clip:
            nn.utils.clip_grad_norm_(self.objective.net.parameters(), self.recipe.optimiser.clip)
        for optimiser in filter(None, (self.state.optimiser, self.centres)):
            optimiser.step()
        if self.state.average:
            self.state.average.follow()
        return loss.detach()

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """bf16 where it pays: on a GPU; a CPU is slower with it."""
        wanted = self.recipe.run.precision == "bf16" and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=wanted):
            yield

    def _rate(self, into: float, steps: int = 1) -> float:
        return rate_at(self.recipe, self.epoch - 1 + into, steps)

    def _set_rate(self, into: float, steps: int) -> None:
        for group in self.state.optimiser.param_groups:
            group["lr"] = self._rate(into, steps)

    def _check(self, total: Tensor, step: int) -> None:
        if not bool(torch.isfinite(total)):
            kept = self.checkpoint if self.checkpoint.is_file() else "none yet"
            raise TrainingDiverged(
                f"{self.recipe.name}: the loss is {float(total)} by step {step} of epoch {self.epoch}; a lower rate or "
                f"more warm-up may help; last good checkpoint: {kept}"
            )

    def _validate(self) -> tuple[float, bool]:
        """The score of the weights that would be kept, and whether it is the best so far."""
        score = math.nan
        if self.processes.is_first:
            truth = self.labels.hard[self.validation_rows]
            score = score_of(self.logits(self.validation_rows), truth, self.recipe.run.select)
        score = self.processes.share(score)
        whole = not self.objective.stem_only  # a stem alone is no net yet
        return score, whole and self.state.best.offer(self.kept, self.epoch, score)

    @property
    def epoch(self) -> int:
        """The number of epochs learnt."""
        return self.state.epoch

    @property
    def kept(self) -> Objective:
        """The averaged weights, where there are any."""
        return self.state.average.module if self.state.average else self.objective

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """(n, K) of the weights that would be kept."""
        self.kept.stem_only = self.objective.stem_only
        with self._arithmetic():
            return logits_of(self.kept, self.pictures, self.feed, rows, self.recipe.run.batch)

    def _should_stop(self, bounds: Bounds) -> bool:
        late = self.processes.share(float(time.monotonic() - self.began > bounds.seconds)) > 0
        patience = self.recipe.run.patience
        best = self.state.best.epoch
        return late or bool(patience and best and self.epoch - best >= patience)

    @property
    def checkpoint(self) -> Path:
        """The file from which a run goes on."""
        return self.folder / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        """The file of the best weights."""
        return self.folder / "weights.safetensors"

    def write(self) -> None:
        """Write the checkpoint, and the best weights with their temperature and thresholds where they are new."""
        if not self.processes.is_first:
            return
        note = {"data_sha256": self.faces.digest, "processes": self.processes.count, "spent_s": self.spent_s}
        write_checkpoint(self.checkpoint, self.state, self.recipe, note)
        if self.state.best.is_new:
            write_weights(self.weights, self.state.best.entries, self._note())
            self.state.best.written = self.state.best.epoch

    def _note(self) -> WeightsNote:
        """The note of the best weights; calibrated on validation."""
        best = self.state.best
        keeper = Objective(self.recipe, len(self.labels.names)).to(self.device)
        keeper.net.load_state_dict(best.entries, strict=False)  # DACL's attention is not kept
        logits = logits_of(keeper, self.pictures, self.feed, self.validation_rows, self.recipe.run.batch)
        truth = self.labels.hard[self.validation_rows]
        temperature = metrics.fit_temperature(logits, truth)
        chosen = metrics.best_thresholds(metrics.sigmoid(logits, temperature), truth) if truth.ndim == 2 else ()
        data = (self.faces.name, self.faces.digest, len(self.train_rows))
        minutes, on = self.spent_s / 60, self.processes.described
        return dataclasses.replace(
            note_for(self.recipe, self.labels.names, data, best.epoch),
            temperature=temperature,
            thresholds=tuple(float(each) for each in chosen),
            measurements={f"validation {self.recipe.run.select}": best.score},
            trained=", ".join((f"{self.epoch} epochs in {minutes:.1f} min on {on}", *origins(self.recipe))),
        )

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same recipe, set and number of processes.

        Raises:
            WeightsDoNotFit: no checkpoint, or one of another net.
            BadRequest: of another recipe, set or number of processes; names the first difference.
        """
        self.spent_before = read_checkpoint(
            path, self.state, self.recipe, self.faces.digest, self.processes.count, self.device
        )

    @property
    def spent_s(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.spent_before + time.monotonic() - self.began

    def _summary(self, loss: float) -> dict[str, Any]:
        seconds, best = time.monotonic() - self.began, self.state.best
        return {
            "recipe": self.recipe.name,
            "net": self.recipe.net.name,
            "data": self.faces.name,
            "faces": len(self.train_rows),
            "epochs": self.epoch,
            "best_epoch": best.epoch,
            f"validation_{self.recipe.run.select}": round(self.state.best.score, 5)
            if self.state.best.entries
            else None,
            "loss": None if math.isnan(loss) else round(loss, 5),
            "seconds": round(seconds, 1),
            "device": str(self.device),
            "processes": self.processes.count,
            "weights": str(self.weights) if best.entries else None,
        }
