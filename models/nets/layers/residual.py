"""The residual units of ResNet, with a place for a channel attention before the addition.

Source: He et al., Deep Residual Learning (CVPR 2016), fig. 5; entry names and order as in torchvision's
`models/resnet.py` (BSD-3-Clause), which amirhfarzaneh/dacl (no licence file) and cfzd/FcaNet (MIT) build on.
"""

from collections.abc import Callable

from torch import Tensor, nn

ChannelAttention = Callable[[int], nn.Module]
"""Makes the attention of a unit from its number of output channels."""


class ResidualUnit(nn.Module):
    """What both units share: ReLU(attention(branch(x)) + shortcut(x))."""

    expansion: int  # output channels per unit of width
    downsample: nn.Module | None
    att: nn.Module | None

    def branch(self, x: Tensor) -> Tensor:
        """The residual before attention and addition."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, expansion * width, ceil(H / stride), ceil(W / stride))."""
        residual = self.branch(x)
        if self.att is not None:
            residual = self.att(residual)
        return (residual + self.shortcut(x)).relu()

    def shortcut(self, x: Tensor) -> Tensor:
        """What is added to the residual: x itself where it fits."""
        return x if self.downsample is None else self.downsample(x)


class BasicUnit(ResidualUnit):
    """Two 3x3 convolutions with `inner` channels between them; as published that is the width."""

    expansion = 1

    def __init__(self, inputs: int, width: int, inner: int, stride: int, attention: ChannelAttention | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.att = attention(width) if attention else None
        self.downsample = projection(inputs, width, stride)

    def branch(self, x: Tensor) -> Tensor:
        """conv-BN-ReLU-conv-BN."""
        x = self.bn1(self.conv1(x)).relu()  # (B, inner, H / stride, W / stride)
        out: Tensor = self.bn2(self.conv2(x))
        return out


class BottleneckUnit(ResidualUnit):
    """1x1, 3x3 (which carries the stride), 1x1 to four times the width; `inner` channels between them."""

    expansion = 4

    def __init__(self, inputs: int, width: int, inner: int, stride: int, attention: ChannelAttention | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.att = attention(4 * width) if attention else None
        self.downsample = projection(inputs, 4 * width, stride)

    def branch(self, x: Tensor) -> Tensor:
        """conv-BN-ReLU twice, then conv-BN."""
        x = self.bn1(self.conv1(x)).relu()  # (B, inner, H, W)
        x = self.bn2(self.conv2(x)).relu()  # (B, inner, H / stride, W / stride)
        out: Tensor = self.bn3(self.conv3(x))  # (B, 4 * width, ...)
        return out


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The shortcut's 1x1 convolution and BN; None where the identity fits."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
