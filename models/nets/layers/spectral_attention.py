"""FcaNet's channel attention: squeeze and excitation whose squeeze is a set of DCT frequencies.

Source: Qin et al., FcaNet: Frequency Channel Attention Networks (ICCV 2021), sec. 3.2-3.3; cfzd/FcaNet
`model/layer.py` (MIT), whose entry names and order are kept.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from contract.errors import BadRequest
from models.nets.layers.dct import Array, planes, seen_through_pooling
from models.nets.layers.frequencies import GRID, Frequency

EVERY_FREQUENCY = tuple((u, v) for u in range(GRID) for v in range(GRID))


@dataclass(frozen=True, slots=True)
class SpectralPlan:
    """How the maps of one stage are summed up."""

    frequencies: tuple[Frequency, ...] | None  # None: searched in training
    side: int  # of the DCT
    map_side: int  # of the maps that will come
    orthonormal: bool = True
    groups: int = 16  # of a search


class SpectralSum(nn.Module):
    """Each of n equal groups of channels weighed with its plane and summed.

    The entry `weight` (C, side, side) repeats each plane within its group, as the release stores it; only the n
    different planes, already seen through the pooling from the map's side, are computed with.
    """

    def __init__(self, channels: int, plan: SpectralPlan) -> None:
        super().__init__()
        self.frequencies = plan.frequencies or ()
        basis = planes(self.frequencies, plan.side, orthonormal=plan.orthonormal)  # (n, side, side)
        repeats = group_size(channels, len(basis))
        self.register_buffer("weight", constant(basis.repeat(repeats, 0)))
        self.register_buffer("planes", constant(seen_through_pooling(basis, plan.map_side)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, map_side, map_side) -> (B, C)."""
        return weighed(x, self.get_buffer("planes"))


class SearchedSum(nn.Module):
    """FcaNet-NAS: each group mixes all 49 frequencies by softmax(alpha); the largest alpha is the frequency found.

    The entry `alpha` (groups, 49) is trained with the net; `found` gives the list to build the final net with. The
    search and its result were not released; the paper does not say how many groups it searched for.
    """

    def __init__(self, channels: int, plan: SpectralPlan) -> None:
        super().__init__()
        group_size(channels, plan.groups)
        basis = planes(EVERY_FREQUENCY, plan.side, orthonormal=plan.orthonormal)
        self.alpha = nn.Parameter(torch.zeros(plan.groups, len(EVERY_FREQUENCY)))
        self.register_buffer("planes", constant(seen_through_pooling(basis, plan.map_side)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, map_side, map_side) -> (B, C)."""
        mixed = self.alpha.softmax(1) @ self.get_buffer("planes").flatten(1)  # (groups, map_side^2)
        return weighed(x, torch.unflatten(mixed, 1, x.shape[2:]))

    def found(self) -> tuple[Frequency, ...]:
        """The frequency of each group with the largest alpha."""
        return tuple(EVERY_FREQUENCY[index] for index in self.alpha.argmax(1).tolist())


class SpectralAttention(nn.Module):
    """x times sigmoid(W2 ReLU(W1 sums)), one weight per channel, no biases."""

    def __init__(self, channels: int, plan: SpectralPlan, reduction: int = 16) -> None:
        super().__init__()
        self.dct_layer: SpectralSum | SearchedSum
        self.dct_layer = SpectralSum(channels, plan) if plan.frequencies else SearchedSum(channels, plan)
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x * self.weights(x)[:, :, None, None]

    def weights(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C) in 0..1."""
        out: Tensor = self.fc(self.dct_layer(x))
        return out


def constant(values: Array) -> Tensor:
    """The values in torch's default precision."""
    return torch.tensor(values, dtype=torch.get_default_dtype())


def weighed(x: Tensor, planes: Tensor) -> Tensor:
    """Inner product of every channel with its group's plane: (B, C, h, w), (n, h, w) -> (B, C).

    Raises:
        BadRequest: the maps have another size than the planes were made for.
    """
    if x.shape[2:] != planes.shape[1:]:
        raise BadRequest(f"maps of {tuple(x.shape[2:])} came where the net was built for {tuple(planes.shape[1:])}")
    grouped = torch.unflatten(x, 1, (len(planes), -1)).flatten(3)  # (B, n, C / n, h * w)
    return (grouped @ planes.flatten(1)[:, :, None]).flatten(1)


def group_size(channels: int, groups: int) -> int:
    """Channels per group.

    Raises:
        BadRequest: the groups do not come out even.
    """
    if channels % groups:
        raise BadRequest(f"{channels} channels do not part into {groups} frequencies")
    return channels // groups
