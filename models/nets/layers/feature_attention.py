"""DACL's attention: one weight in 0..1 per feature, from the whole last map.

Source: Farzaneh & Qi (WACV 2021), sec. 3.3, CE-Unit and multi-head binary classification; amirhfarzaneh/dacl
`models/resnet.py` (no licence file; nothing copied).
"""

import torch
from torch import Tensor, nn

CODE = 64  # length of the context's code


def context_encoder(inputs: int) -> nn.Sequential:
    """(B, inputs), the map flattened in the order C, H, W -> (B, 64) in -1..1."""
    return _kaiming(
        nn.Sequential(
            nn.Linear(inputs, 3584),
            nn.BatchNorm1d(3584),
            nn.ReLU(),
            nn.Linear(3584, 512),
            nn.BatchNorm1d(512),
            nn.ReLU(),
            nn.Linear(512, CODE),
            nn.BatchNorm1d(CODE),
            nn.Tanh(),
        )
    )


def context_heads(features: int) -> nn.Linear:
    """(B, 64) -> (B, 2 * features): «leave out» and «take in» scores of each feature, side by side."""
    heads = nn.Linear(CODE, 2 * features)
    _kaiming(nn.Sequential(heads))
    return heads


def attention_weights(scores: Tensor) -> Tensor:
    """Softmax probability of «take in»: (B, 2 * features) -> (B, features)."""
    return torch.unflatten(scores, 1, (-1, 2)).softmax(-1)[..., 1]


def _kaiming(layers: nn.Sequential) -> nn.Sequential:
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return layers
