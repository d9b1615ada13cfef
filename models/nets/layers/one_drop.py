"""Multi-attention dropping: with probability p a sample loses exactly one of its attentions, chosen uniformly.

Source: Xue et al., TransFER (ICCV 2021), sec. 3.2 (MAD, on maps) and 3.3 (MSAD, on heads); youqingxiaozhua/APViT
`Paddle/ppcls/arch/backbone/model_zoo/la_max.py` and `trans_fer.py` (Apache-2.0): `upper=1`, `rand <= p`. Nothing is
rescaled, unlike in Dropout; only training drops.
"""

import torch
from torch import Tensor, nn


class OneDrop(nn.Module):
    """Set one entry along dimension 1 of some samples to zero; the identity in eval."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, choices, ...) -> the same, with the chosen entry of each unlucky sample at zero."""
        if not self.training or self.rate == 0.0:
            return x
        lost = chosen_to_drop(x.shape[0], x.shape[1], self.rate, x.device)  # (B, choices)
        return x.masked_fill(lost.reshape(*lost.shape, *[1] * (x.dim() - 2)), 0.0)

    def extra_repr(self) -> str:
        """The rate."""
        return f"rate={self.rate}"


def chosen_to_drop(samples: int, choices: int, rate: float, device: torch.device) -> Tensor:
    """(samples, choices) bool with at most one True per row."""
    unlucky = torch.rand(samples, device=device) <= rate
    index = torch.randint(choices, (samples,), device=device)
    return unlucky[:, None] & (index[:, None] == torch.arange(choices, device=device))
