"""What is trained: a net with what only its loss needs, so that one call gives the loss; and their running average."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from contract.errors import BadRequest
from models.nets import build, entry
from models.nets.dacl import DACL, DaclOutput
from models.nets.transfer import TransFER
from train.learn.losses import SparseCentreLoss, cross_entropy, multi_label_cross_entropy
from train.recipe import Recipe


class Objective(nn.Module):
    """The loss of a batch, as the recipe wants it."""

    def __init__(self, recipe: Recipe, outputs: int) -> None:
        super().__init__()
        known, options = entry(recipe.net.name), dict(recipe.net.options)
        if (known.task == "action_units") != (recipe.data.labels == "units"):
            raise BadRequest(f"{recipe.net.name} is a net for {known.task}, data.labels is {recipe.data.labels!r}")
        self.net = build(recipe.net.name, edge=recipe.net.edge, **{known.outputs: outputs}, **_tuples(options))
        self.loss, self.units = recipe.loss, recipe.data.labels == "units"
        self.centres: SparseCentreLoss | None = None
        if isinstance(self.net, DACL) and recipe.loss.centre_weight:
            self.centres = SparseCentreLoss(outputs, self.net.fc.in_features)
        self.stem_head: nn.Linear | None = None
        if recipe.net.stem_epochs:
            if not isinstance(self.net, TransFER):
                raise BadRequest(f"net.stem_epochs is for transfer, this is {recipe.net.name}")
            self.stem_head = nn.Linear(256, outputs)
        self.stem_only = False
        self._stem: Callable[[Tensor], Tensor] = self.stem_logits

    def forward(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """Loss, a scalar, of normalised pictures (B, 3, E, E) and targets (B, K) as `train.data.labels` has them."""
        answer = self._stem(pictures) if self.stem_only else self.net(pictures)
        if self.units:
            return multi_label_cross_entropy(answer.float(), targets)
        if not isinstance(answer, DaclOutput):
            return cross_entropy(answer.float(), targets, smoothing=self.loss.smoothing)
        loss = cross_entropy(answer.logits.float(), targets, smoothing=self.loss.smoothing)
        if self.centres is None:
            return loss
        # Of a mixture the heavier face: a centre has no share.
        centred: Tensor = self.centres(answer.features.float(), answer.attention.float(), targets.argmax(1))
        return loss + self.loss.centre_weight * centred

    def logits(self, pictures: Tensor) -> Tensor:
        """(B, K) in eval mode; of the stem's own classifier while it learns alone."""
        answer: Tensor = self.stem_logits(pictures) if self.stem_only else self.net(pictures)
        return answer

    def stem_logits(self, pictures: Tensor) -> Tensor:
        """(B, K) from the average of the stem's last map."""
        assert isinstance(self.net, TransFER)
        assert self.stem_head is not None
        logits: Tensor = self.stem_head(self.net.extractor(pictures).mean((2, 3)))
        return logits

    def compile(self) -> None:
        """Let torch compile what training runs; names of entries stay."""
        self.net.compile(dynamic=False)
        self._stem = torch.compile(self.stem_logits, dynamic=False)


def _tuples(options: dict[str, object]) -> dict[str, object]:
    """TOML has lists where nets take tuples."""
    return {name: tuple(each) if isinstance(each, list) else each for name, each in options.items()}


class Average:
    """Exponentially averaged weights, statistics of norms included (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).

    The decay rises with the steps, (1 + t) / (10 + t) up to the wanted one, so that the beginning is soon forgotten.
    """

    def __init__(self, objective: Objective, decay: float) -> None:
        self.module, self.decay, self.steps = copy.deepcopy(objective).eval().requires_grad_(False), decay, 0
        mine, theirs = self.module.state_dict(), objective.state_dict()  # the live tensors: collected once
        self._moving = [(each, theirs[name]) for name, each in mine.items() if each.is_floating_point()]
        self._counted = [(each, theirs[name]) for name, each in mine.items() if not each.is_floating_point()]

    @torch.no_grad()
    def follow(self) -> None:
        """Move towards the weights by one step."""
        self.steps += 1
        pull = 1.0 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        mine, theirs = zip(*self._moving, strict=True)
        torch._foreach_lerp_(mine, theirs, pull)
        for mine_, theirs_ in self._counted:
            mine_.copy_(theirs_)
