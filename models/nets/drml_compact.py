"""DRML for a CPU: the same idea on half the resolution, ninety-odd times smaller."""

import copy

from torch import Tensor, nn

from contract.errors import BadRequest
from models.nets.checks import at_least, probability
from models.nets.layers.region import GRID, RegionLayer

STRIDE = 16  # of the whole extractor
FLOOR = 1e-3  # variance added, so that an even picture stays even


class DRMLCompact(nn.Module):
    """Logits of action units: (B, 3, edge, edge) float -> (B, units); a probability is the sigmoid of a logit.

    Source: DRML (Zhao, Chu & Zhang, CVPR 2016), whose region layer it keeps as it is. Ours, and why: the first
    convolution has stride 2 and 5 × 5 weights, because a region layer at 56 px costs a fifteenth of one at 160; 3 × 3
    convolutions with batch norms instead of the 8 × 8 ones; one hidden layer, because 98 % of DRML's parameters lie in
    its three; each picture brought to one contrast, because the pictures it learns from are lit at random.
    """

    def __init__(
        self, *, units: int = 12, edge: int = 96, width: int = 16, hidden: int = 160, drop: float = 0.2
    ) -> None:
        super().__init__()
        at_least("units", units, 1)
        at_least("width", width, 1)
        at_least("hidden", hidden, 1)
        if at_least("edge", edge, STRIDE) % STRIDE:
            raise BadRequest(
                f"edge={edge} does not fit DRML compact: it must be a multiple of {STRIDE}, for {GRID} cells"
            )
        self.edge = edge
        self.extractor = nn.Sequential(
            Contrast(),
            nn.Conv2d(3, width, 5, 2, 2),
            RegionLayer(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(width),
            *_step(width, 32, 1),
            *_step(32, 48, 2),
            *_step(48, 64, 1),
            *_step(64, 64, 2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(probability("drop", drop)),
            nn.Linear(64 * (edge // STRIDE) ** 2, hidden),
            nn.ReLU(),
            nn.Dropout(drop),
            nn.Linear(hidden, units),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.extractor(x)  # (B, 64, 6, 6) at 96
        logits: Tensor = self.classifier(x.flatten(1))
        return logits

    def inference(self) -> "DRMLCompact":
        """A copy in eval mode without dropout, its region layer made of stock modules."""
        net = copy.deepcopy(self).requires_grad_(False)
        region = net.extractor[2]
        assert isinstance(region, RegionLayer)
        net.extractor[2] = region.inference()
        net.classifier[0] = net.classifier[3] = nn.Identity()
        return net.eval()


class Contrast(nn.Module):
    """Every picture with mean 0 and deviation 1, so that light and exposure tell nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        centred = x - x.mean((1, 2, 3), keepdim=True)
        return centred / (centred.square().mean((1, 2, 3), keepdim=True) + FLOOR).sqrt()


def _step(before: int, after: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
