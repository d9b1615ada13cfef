"""The stem of TransFER: the first stages of IR-50, a ResNet with pre-normalised units made for face recognition.

Source: Deng et al., ArcFace (CVPR 2019), sec. 3.2.2 («IR»); face.evoLVe `model_irse.py` (MIT); youqingxiaozhua/APViT
`Paddle/ppcls/arch/backbone/model_zoo/irse.py`, `num_layers=44` (Apache-2.0).
"""

from torch import Tensor, nn

WIDTHS = (64, 128, 256)  # per stage


class IRUnit(nn.Module):
    """BN, 3x3 convolution, PReLU, 3x3 convolution with the stride, BN, plus the shortcut; no ReLU after the sum.

    The leading BN stands before a zero-padded convolution, so its shift cannot be folded into it at the border.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class IRStem(nn.Module):
    """A 3x3 convolution and three stages, each halving the map in its first unit."""

    def __init__(self, units: tuple[int, int, int] = (3, 4, 14)) -> None:
        super().__init__()
        self.units = units
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        body = []
        inputs = 64
        for width, count in zip(WIDTHS, units, strict=True):
            for stride in (2, *[1] * (count - 1)):
                body.append(IRUnit(inputs, width, stride))
                inputs = width
        self.body = nn.Sequential(*body)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, E, E) -> (B, 256, ceil(E / 8), ceil(E / 8))."""
        x = self.input_layer(x)  # (B, 64, E, E)
        out: Tensor = self.body(x)
        return out
