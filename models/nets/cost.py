"""What each net costs: parameters and multiply-accumulates, counted on the nets themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.nets import build, entry, names, options
from models.nets.dacl import DACL


@dataclass(frozen=True, slots=True)
class Cost:
    """One net, per picture.

    The training graph holds what only the loss needs; the inference graph is what is exported.
    """

    name: str
    paper: str
    edge: int  # px
    outputs: int  # logits
    parameters_training: int
    parameters_inference: int
    macs_training: int  # forward only
    macs_inference: int


def table(wanted: Sequence[str] | None = None) -> list[Cost]:
    """The cost of each net with its published defaults; all nets where none is named."""
    return [cost(name) for name in wanted or names()]


def cost(name: str, **variant: object) -> Cost:
    """Cost of a net as `build` makes it, counted without allocating it (torch's meta device).

    Raises:
        UnknownNet, BadRequest: as `build`.
    """
    with torch.device("meta"):
        net = build(name, **variant).eval()
        plain: nn.Module = net.inference()  # type: ignore[operator]
    chosen = {**options(name), **variant}
    return Cost(
        name=name,
        paper=entry(name).paper,
        edge=chosen["edge"],
        outputs=chosen[entry(name).outputs],
        parameters_training=parameters(net),
        parameters_inference=parameters(plain),
        macs_training=macs(net.with_attention if isinstance(net, DACL) else net, chosen["edge"]),
        macs_inference=macs(plain, chosen["edge"]),
    )


def parameters(net: nn.Module) -> int:
    """Number of learnt values; buffers such as running statistics do not count."""
    return sum(each.numel() for each in net.parameters())


def macs(forward: Callable[[Tensor], object], edge: int) -> int:
    """Multiply-accumulates of convolutions and matrix products for one picture; half of torch's FLOP count."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        forward(torch.empty(1, 3, edge, edge, device="meta"))
    return counter.get_total_flops() // 2
