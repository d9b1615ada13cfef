"""The trunk of ResNet: the picture's maps before the average. DACL and FcaNet stand on it.

Source: He et al. (CVPR 2016), table 1; entry names and order as in torchvision's `models/resnet.py` (BSD-3-Clause).
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from models.nets.layers.residual import BasicUnit, BottleneckUnit, ChannelAttention

WIDTHS = (64, 128, 256, 512)  # per stage


@dataclass(frozen=True, slots=True)
class ResNetPlan:
    """Which unit, how many per stage, and how many channels lie between a unit's convolutions."""

    unit: type[BasicUnit] | type[BottleneckUnit]
    units: tuple[int, int, int, int]
    inner: tuple[int, ...] = WIDTHS  # per stage

    @property
    def channels(self) -> int:
        """Channels of the last map."""
        return WIDTHS[-1] * self.unit.expansion


PLANS = {
    18: ResNetPlan(BasicUnit, (2, 2, 2, 2)),
    34: ResNetPlan(BasicUnit, (3, 4, 6, 3)),
    50: ResNetPlan(BottleneckUnit, (3, 4, 6, 3)),
    101: ResNetPlan(BottleneckUnit, (3, 4, 23, 3)),
}


class ResNetTrunk(nn.Module):
    """Convolution 7x7/2, pooling, four stages. Subclasses add what reads the last map."""

    def __init__(self, plan: ResNetPlan, attention: Callable[[int], ChannelAttention] | None = None) -> None:
        """Build the trunk; `attention(stage)` (0..3) gives the maker of that stage's channel attention."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, (width, inner, units) in enumerate(zip(WIDTHS, plan.inner, plan.units, strict=True)):
            make = attention(stage) if attention else None
            strides = [1 if stage == 0 else 2, *[1] * (units - 1)]
            blocks = []
            for stride in strides:
                blocks.append(plan.unit(inputs, width, inner, stride, make))
                inputs = width * plan.unit.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x: Tensor) -> Tensor:
        """(B, 3, E, E) -> (B, 64, E / 4, E / 4)."""
        x = self.bn1(self.conv1(x)).relu()  # (B, 64, E / 2, E / 2)
        out: Tensor = self.maxpool(x)
        return out

    def maps(self, x: Tensor) -> Tensor:
        """(B, 3, E, E) -> (B, channels, ceil(E / 32), ceil(E / 32))."""
        x = self.stem(x)
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(stage)(x)
        return x


def map_side(edge: int, stage: int) -> int:
    """Side of the maps of a stage (0..3) for a square input; every stride rounds up."""
    return -(-edge // (4 << stage))
