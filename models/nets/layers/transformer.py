"""A vision transformer that reads ready-made tokens: class token, positions, pre-normalised blocks.

Source: Dosovitskiy et al., An Image Is Worth 16x16 Words (ICLR 2021), eq. 1-4; the sizes are those of timm's first
`vit_small_patch16_224` (Apache-2.0), which TransFER starts from.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

EPSILON = 1e-6  # of every layer norm


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> the same shape."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, width: int, attention: nn.Module, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TokenTransformer(nn.Module):
    """The class token's vector after all blocks."""

    def __init__(
        self, tokens: int, width: int, depth: int, attention: Callable[[], nn.Module], *, mlp_ratio: int
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, tokens + 1, width))
        self.blocks = nn.ModuleList(Block(width, attention(), mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) -> (B, width)."""
        first = self.cls_token.expand(tokens.shape[0], -1, -1)  # len() would fix the batch in an export
        x = torch.cat([first, tokens], 1) + self.pos_embed  # (B, T + 1, width)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)[:, 0]
        return out
