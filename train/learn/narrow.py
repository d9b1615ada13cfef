"""A net with fewer channels within its units, made from a wide one so that it answers nearly alike before it learns.

Of each unit's inner channels the strongest are kept; then the convolution that reads them is solved for, so that the
unit gives what the wide one gave. Units are solved in their order: each also makes up for what those before it lost.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.nets.layers.residual import BasicUnit
from models.nets.layers.resnet import ResNetTrunk

RIDGE = 1e-4  # of the mean square of what is read: keeps the solution small where pictures are few


def narrowed(net: ResNetTrunk, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Entries with only the strongest of each unit's inner channels, as many as the net has.

    A channel's strength is |scale of its norm| times the length of the weights that read it. Source: filters by
    their norm, Li et al., Pruning Filters for Efficient ConvNets (ICLR 2017), sec. 3.1; by the scale of the norm,
    Liu et al., Network Slimming (ICCV 2017), sec. 3.
    """
    entries = dict(given)
    for name, unit in net.named_modules():
        if isinstance(unit, BasicUnit) and f"{name}.conv2.weight" in given:
            reading, scale = given[f"{name}.conv2.weight"], given[f"{name}.bn1.weight"]
            strength = scale.abs() * reading.flatten(2).norm(dim=2).norm(dim=0)
            kept = strength.topk(min(len(strength), unit.conv2.in_channels)).indices.sort().values
            entries[f"{name}.conv2.weight"] = reading[:, kept]
            for entry in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
                entries[f"{name}.{entry}"] = given[f"{name}.{entry}"][kept]
    return entries


@torch.no_grad()
def refit(net: ResNetTrunk, wide: ResNetTrunk, batches: Iterable[Tensor]) -> None:
    """Solve for the second convolution of each thinner unit, first unit first, by least squares.

    Source: He, Zhang & Sun, Channel Pruning for Accelerating Very Deep Neural Networks (ICCV 2017), sec. 3.1 (the
    reconstruction) and 3.3 (the residual branch also makes up for the shortcut's error).

    Args:
        net: narrow, with entries of `narrowed`; changed.
        wide: what it came from; left in eval mode.
        batches: normalised pictures (B, 3, E, E); a few thousand in all. None: nothing changes.
    """
    was = net.training
    net.eval()
    wide.eval()
    seen = [(net.stem(batch), wide.stem(batch)) for batch in batches]
    for mine, theirs in zip(_units(net), _units(wide), strict=True):
        if seen and mine.conv2.weight.shape != theirs.conv2.weight.shape:
            _solve(mine, theirs, seen)
        seen = [(mine(one), theirs(other)) for one, other in seen]
    net.train(was)


def _units(net: ResNetTrunk) -> list[BasicUnit]:
    return [module for module in net.modules() if isinstance(module, BasicUnit)]


def _solve(mine: BasicUnit, theirs: BasicUnit, seen: Sequence[tuple[Tensor, Tensor]]) -> None:
    size, norm = mine.conv2.weight[0].numel(), mine.bn2  # size: inner * 3 * 3
    squares = torch.zeros(size, size, dtype=torch.float64)
    products = torch.zeros(size, mine.conv2.out_channels, dtype=torch.float64)
    spread, middle = (norm.get_buffer("running_var") + norm.eps).sqrt(), norm.get_buffer("running_mean")
    for one, other in seen:
        read = functional.unfold(mine.bn1(mine.conv1(one)).relu(), 3, padding=1)  # (B, size, H * W)
        read = read.transpose(1, 2).flatten(0, 1)  # (B * H * W, size)
        wanted = theirs.branch(other) + theirs.shortcut(other) - mine.shortcut(one)
        wanted = wanted.flatten(2).transpose(1, 2).flatten(0, 1)  # (B * H * W, width)
        before = (wanted - norm.bias) / _safe(norm.weight) * spread + middle  # what the norm makes `wanted` of
        squares += (read.T @ read).double().cpu()
        products += (read.T @ before).double().cpu()
    ridge = RIDGE * squares.diagonal().mean()
    weights = torch.linalg.solve(squares + ridge * torch.eye(size, dtype=torch.float64), products)  # (size, width)
    mine.conv2.weight.copy_(weights.T.reshape(mine.conv2.weight.shape))


def _safe(scale: Tensor, least: float = 1e-3) -> Tensor:
    """Away from zero, so that a channel that the norm switches off does not outweigh the others."""
    return torch.where(scale.abs() < least, torch.full_like(scale, least), scale)
