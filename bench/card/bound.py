"""The layer-wise bound of a net: no card runs a layer faster than its arithmetic, nor than its bytes can move."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

BYTES = 2  # of a value in fp16
MOVING = (nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.LayerNorm, nn.LocalResponseNorm)
"""Layers that read and write memory of their own; a compiler folds norms and activations into them."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer costs."""

    macs: int  # per picture
    moved: int  # bytes of activations per picture, read and written once
    weights: int  # bytes per batch


@dataclass(frozen=True, slots=True)
class Rates:
    """What a card was measured to do."""

    macs_per_s: float  # multiply-accumulates of large fp16 products
    bytes_per_s: float  # of a large copy, read and written


def layers_of(net: nn.Module, edge: int) -> list[Layer]:
    """Return the layers of a net for pictures (1, 3, edge, edge), counted on torch's meta device.

    Products outside of layers (attention) are one more layer without bytes of its own.
    """
    found: list[Layer] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        weights = sum(each.numel() for each in layer.parameters())
        macs = 0
        if isinstance(layer, nn.Conv2d):
            macs = out.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            macs = out.numel() * layer.in_features
        found.append(Layer(macs, BYTES * (given[0].numel() + out.numel()), BYTES * weights))

    hooks = [each.register_forward_hook(note) for each in net.modules() if isinstance(each, MOVING)]
    try:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            net(torch.empty(1, 3, edge, edge, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    rest = counter.get_total_flops() // 2 - sum(layer.macs for layer in found)
    return [*found, Layer(rest, 0, 0)] if rest > 0 else found


def images_per_s(layers: Sequence[Layer], rates: Rates, batch: int) -> float:
    """Return the most pictures per second in batches of this size.

    Source: Williams, Waterman & Patterson, Roofline (CACM 2009), applied layer by layer.
    """
    seconds = sum(
        max(batch * layer.macs / rates.macs_per_s, (batch * layer.moved + layer.weights) / rates.bytes_per_s)
        for layer in layers
    )
    return batch / seconds
