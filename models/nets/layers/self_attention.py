"""Multi-head self-attention with TransFER's dropping (MSAD).

Source: Vaswani et al. (2017), sec. 3.2; Xue et al., TransFER (ICCV 2021), sec. 3.3; youqingxiaozhua/APViT
`Paddle/ppcls/arch/backbone/model_zoo/trans_fer.py` (Apache-2.0).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.layers.one_drop import OneDrop


class SelfAttention(nn.Module):
    """softmax(q k' * scale) v per head, the heads joined by a linear layer; queries, keys and values have no bias.

    `msad="head"` is the paper's: one head of an unlucky sample gives zero (the same as zero q, k and v of that head).
    `msad="token"` is what the release does: its zeroing indexes the wrong dimension and blanks q, k and v of ONE
    TOKEN, drawn among the first `heads` (0 is the class token), in all heads.
    """

    def __init__(self, width: int, heads: int, *, drop: float, msad: str, scale: float | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale or (width // heads) ** -0.5
        self.msad = msad
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.drop: nn.Module = OneDrop(drop)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, width) -> the same shape."""
        qkv = self.qkv(x)  # (B, T, 3 * width)
        if self.msad == "token":
            first = self.drop(qkv[:, : self.heads])  # (B, heads, 3 * width): tokens, not heads
            qkv = qkv.slice_scatter(first, 1, 0, first.shape[1]) if self.training else qkv
        q, k, v = torch.unflatten(qkv, 2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, T, d)
        out = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (B, heads, T, d)
        if self.msad == "head":
            out = self.drop(out)
        joined: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return joined
