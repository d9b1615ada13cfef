"""DACL: a ResNet-18 whose centre loss is weighted per feature by a learnt attention."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from contract.errors import BadRequest
from models.nets.checks import at_least
from models.nets.layers.feature_attention import attention_weights, context_encoder, context_heads
from models.nets.layers.resnet import PLANS, WIDTHS, ResNetPlan, ResNetTrunk, map_side

FOR_THE_LOSS = ("attention.", "attention_heads.")  # begin the names of DACL's entries that no inference needs


class DaclOutput(NamedTuple):
    """What the DACL loss needs, in the order of the released code."""

    features: Tensor  # (B, 512) average of the last map
    logits: Tensor  # (B, classes)
    attention: Tensor  # (B, 512) in 0..1: how much each feature counts in the sparse centre loss


class ResNet18(ResNetTrunk):
    """ResNet-18 with a linear head: DACL's inference graph, (B, 3, edge, edge) -> (B, classes).

    Source: He et al., Deep Residual Learning (CVPR 2016), table 1. `inner` is this project's: fewer channels between
    the two convolutions of each unit, per stage, for a cheaper net; as published they are as many as the stage is wide.
    """

    def __init__(self, *, classes: int = 7, edge: int = 224, inner: Sequence[int] = WIDTHS) -> None:
        super().__init__(plan_of(inner))
        self.edge = at_least("edge", edge, 32)  # any above: nothing here depends on it
        self.fc = nn.Linear(512, at_least("classes", classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits: (B, 3, E, E) -> (B, classes)."""
        logits: Tensor = self.fc(pooled(self.maps(x)))
        return logits

    def inference(self) -> "ResNet18":
        """A copy in eval mode."""
        return copy.deepcopy(self).eval().requires_grad_(False)


class DACL(ResNetTrunk):
    """Logits of expressions; in training also the features and their attention.

    Input (B, 3, edge, edge) float, RGB, normalised; output `DaclOutput` in training, logits (B, classes) in eval,
    where the attention branch (89 % of the parameters at 224) is neither needed nor run.

    Source: Farzaneh & Qi, Facial Expression Recognition in the Wild via Deep Attentive Center Loss (WACV 2021);
    amirhfarzaneh/dacl `models/resnet.py` (no licence file; nothing copied), whose entry names and order are kept.
    Differs: `edge` is free; the first attention layer reads the whole last map (512 x 4 x 4 at 112) and keeps its
    width of 3,584. The map is not detached: the attention's gradient reaches the trunk, as in the released code.
    `inner` as of ResNet18.
    """

    def __init__(self, *, classes: int = 7, edge: int = 224, inner: Sequence[int] = WIDTHS) -> None:
        side = map_side(at_least("edge", edge, 32), 3)
        at_least("classes", classes, 1)
        super().__init__(plan_of(inner))
        self.edge, self.inner = edge, tuple(inner)
        self.attention = context_encoder(512 * side * side)
        self.attention_heads = context_heads(512)
        self.fc = nn.Linear(512, classes)  # left at torch's default, as the released code does

    def forward(self, x: Tensor) -> DaclOutput | Tensor:
        """`DaclOutput` in training, logits (B, classes) in eval."""
        if self.training:
            return self.with_attention(x)
        logits: Tensor = self.fc(pooled(self.maps(x)))
        return logits

    def with_attention(self, x: Tensor) -> DaclOutput:
        """Features, logits and attention in either mode; the batch must exceed 1 in training (BatchNorm1d)."""
        maps = self.maps(x)  # (B, 512, h, w)
        scores = self.attention_heads(self.attention(maps.flatten(1)))  # (B, 1024)
        features = pooled(maps)  # (B, 512)
        return DaclOutput(features, self.fc(features), attention_weights(scores))

    def inference(self) -> ResNet18:
        """A copy without the attention branch, in eval mode: 11,180,103 parameters with 7 classes."""
        net = ResNet18(classes=self.fc.out_features, edge=self.edge, inner=self.inner)
        entries = {
            name: entry.clone() for name, entry in self.state_dict().items() if not name.startswith(FOR_THE_LOSS)
        }
        net.load_state_dict(entries, assign=True)
        return net.eval().requires_grad_(False)


def plan_of(inner: Sequence[int]) -> ResNetPlan:
    """ResNet-18 with so many channels within the units of each stage.

    Raises:
        BadRequest: not four numbers of at least 1.
    """
    if len(inner) != len(WIDTHS) or not all(isinstance(each, int) and each >= 1 for each in inner):
        raise BadRequest(f"inner={tuple(inner)} is not one number of channels for each of {len(WIDTHS)} stages")
    return replace(PLANS[18], inner=tuple(inner))


def pooled(maps: Tensor) -> Tensor:
    """Average over the map: (B, C, H, W) -> (B, C)."""
    return maps.mean((2, 3))
