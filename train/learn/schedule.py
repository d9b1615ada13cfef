"""The rate, step by step; and which weights decay."""

import math

import torch
from torch import nn

from train.learn.objective import Objective
from train.recipe import Net, Optimiser, Recipe, Schedule


def factor(schedule: Schedule, epoch: float, epochs: int, per_epoch: int) -> float:
    """What the rate is multiplied with at a time, in epochs and their parts, of a run of so many.

    Warm-up is linear from (almost) nothing. Milestones in iterations use `per_epoch`.
    """
    if epoch < schedule.warmup_epochs:
        return (epoch + 1 / per_epoch) / (schedule.warmup_epochs + 1 / per_epoch)
    if schedule.kind == "cosine":
        rest = max(epochs - schedule.warmup_epochs, 1e-9)
        turn = (1 + math.cos(math.pi * min(1.0, (epoch - schedule.warmup_epochs) / rest))) / 2
        return schedule.last + (1 - schedule.last) * turn
    if schedule.kind == "steps":
        now = epoch * per_epoch if schedule.unit == "iterations" else epoch
        passed = sum(now >= milestone - 1e-9 for milestone in schedule.milestones)
        return float(schedule.gamma**passed)
    return 1.0


def rate_at(recipe: Recipe, epoch: float, per_epoch: int) -> float:
    """The rate; the epochs in which TransFER's stem learns alone have a course of their own before the others'."""
    net: Net = recipe.net
    if epoch < net.stem_epochs:
        return recipe.optimiser.rate * net.stem_factor * factor(recipe.schedule, epoch, net.stem_epochs, per_epoch)
    rest = recipe.run.epochs - net.stem_epochs
    return recipe.optimiser.rate * factor(recipe.schedule, epoch - net.stem_epochs, rest, per_epoch)


def optimiser_of(objective: Objective, wanted: Optimiser) -> torch.optim.Optimizer:
    """SGD or AdamW over everything but the centres."""
    weights: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    for name, parameter in objective.named_parameters():
        if not name.startswith("centres."):
            (norms if parameter.ndim < 2 and not wanted.decay_norms else weights).append(parameter)
    groups: list[dict[str, object]] = [{"params": weights, "weight_decay": wanted.weight_decay}]
    if norms:
        groups.append({"params": norms, "weight_decay": 0.0})
    if wanted.name == "adamw":
        return torch.optim.AdamW(groups, lr=wanted.rate, betas=(wanted.momentum, 0.999))
    return torch.optim.SGD(groups, lr=wanted.rate, momentum=wanted.momentum, nesterov=wanted.nesterov)


def centre_optimiser(objective: Objective, rate: float) -> torch.optim.Optimizer | None:
    """Plain SGD, which makes the centres' update the released rule (see train.learn.losses)."""
    centres: nn.Module | None = objective.centres
    return torch.optim.SGD(centres.parameters(), lr=rate) if centres else None
