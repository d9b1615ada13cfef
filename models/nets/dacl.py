"""DACL: a ResNet-18 whose centre loss is weighted per feature by a learnt attention."""

from typing import NamedTuple

from torch import Tensor, nn

from models.nets.checks import at_least
from models.nets.layers.feature_attention import attention_weights, context_encoder, context_heads
from models.nets.layers.resnet import PLANS, ResNetTrunk, map_side


class DaclOutput(NamedTuple):
    """What the DACL loss needs, in the order of the released code."""

    features: Tensor  # (B, 512) average of the last map
    logits: Tensor  # (B, classes)
    attention: Tensor  # (B, 512) in 0..1: how much each feature counts in the sparse centre loss


class ResNet18(ResNetTrunk):
    """ResNet-18 with a linear head: DACL's inference graph."""

    def __init__(self, *, classes: int = 7) -> None:
        super().__init__(PLANS[18])
        self.fc = nn.Linear(512, at_least("classes", classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits: (B, 3, E, E) -> (B, classes)."""
        logits: Tensor = self.fc(pooled(self.maps(x)))
        return logits


class DACL(ResNetTrunk):
    """Logits of expressions; in training also the features and their attention.

    Input (B, 3, edge, edge) float, RGB, normalised; output `DaclOutput` in training, logits (B, classes) in eval,
    where the attention branch (89 % of the parameters at 224) is neither needed nor run.

    Source: Farzaneh & Qi, Facial Expression Recognition in the Wild via Deep Attentive Center Loss (WACV 2021);
    amirhfarzaneh/dacl `models/resnet.py` (no licence file; nothing copied), whose entry names and order are kept.
    Differs: `edge` is free; the first attention layer reads the whole last map (512 x 4 x 4 at 112) and keeps its
    width of 3,584. The map is not detached: the attention's gradient reaches the trunk, as in the released code.
    """

    def __init__(self, *, classes: int = 7, edge: int = 224) -> None:
        side = map_side(at_least("edge", edge, 32), 3)
        at_least("classes", classes, 1)
        super().__init__(PLANS[18])
        self.edge = edge
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
        net = ResNet18(classes=self.fc.out_features)
        entries = {name: entry.clone() for name, entry in self.state_dict().items() if not name.startswith("attention")}
        net.load_state_dict(entries, assign=True)
        return net.eval().requires_grad_(False)


def pooled(maps: Tensor) -> Tensor:
    """Average over the map: (B, C, H, W) -> (B, C)."""
    return maps.mean((2, 3))
