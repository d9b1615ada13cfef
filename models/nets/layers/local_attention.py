"""TransFER's local attention: several maps that say where to look, and the tokens made of what they let through.

Source: Xue et al., TransFER (ICCV 2021), sec. 3.2; youqingxiaozhua/APViT
`Paddle/ppcls/arch/backbone/model_zoo/la_max.py` and `mmcls/models/necks/la_max.py` (Apache-2.0).
"""

import torch
from torch import Tensor, nn

from models.nets.layers.one_drop import OneDrop


class LANet(nn.Module):
    """One attention map: conv1x1, ReLU, conv1x1, sigmoid, with BN behind both convolutions where `norm` says so."""

    def __init__(self, channels: int, reduction: int, norm: bool) -> None:
        super().__init__()
        self.LA_conv1 = nn.Conv2d(channels, channels // reduction, 1)
        self.bn1 = nn.BatchNorm2d(channels // reduction) if norm else nn.Identity()
        self.LA_conv2 = nn.Conv2d(channels // reduction, 1, 1)
        self.bn2 = nn.BatchNorm2d(1) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W) in 0..1."""
        x = self.bn1(self.LA_conv1(x)).relu()  # (B, C / reduction, H, W)
        out: Tensor = self.bn2(self.LA_conv2(x)).sigmoid()
        return out


class LocalAttention(nn.Module):
    """B maps side by side."""

    def __init__(self, channels: int, maps: int, *, reduction: int = 16, norm: bool = True) -> None:
        super().__init__()
        self.las = nn.ModuleList(LANet(channels, reduction, norm) for _ in range(maps))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, maps, H, W)."""
        return torch.cat([attention(x) for attention in self.las], 1)


class MaskedTokens(nn.Module):
    """Tokens of the maps, dimmed where no attention looks: MAD, maximum over the maps, product, 1x1 projection.

    `mask="input"` projects X * M as the paper and the Paddle release do; `mask="output"` is the PyTorch release's
    proj(X) * M, which also dims the bias. A dropped map is zero and never wins the maximum over sigmoids, so with
    two maps the other one stays; with a single map the whole sample goes dark.
    """

    def __init__(self, channels: int, width: int, *, drop: float, mask: str) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, 1)
        self.drop: nn.Module = OneDrop(drop)
        self.mask = mask

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """(B, C, H, W) and (B, maps, H, W) -> (B, H * W, width), row by row."""
        seen = self.drop(maps).amax(1, keepdim=True)  # (B, 1, H, W)
        x = self.proj(x * seen) if self.mask == "input" else self.proj(x) * seen  # (B, width, H, W)
        return x.flatten(2).transpose(1, 2)
