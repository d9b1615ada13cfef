"""The four nets, exactly as published, and two cheaper ones, by name. Torch is imported when one is built."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from contract.errors import BadRequest, UnknownNet

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a net is defined, and what it is called with."""

    module: str
    net: str
    paper: str
    task: str  # «expressions» or «action_units»
    outputs: str  # the option that says how many logits there are
    fixed: tuple[tuple[str, int], ...] = ()  # options that belong to the name


def _fcanet(depth: int) -> Entry:
    paper = "Qin et al., ICCV 2021"
    return Entry("models.nets.fcanet", "FcaNet", paper, "expressions", "classes", (("depth", depth),))


ENTRIES = {
    "dacl": Entry("models.nets.dacl", "DACL", "Farzaneh & Qi, WACV 2021", "expressions", "classes"),
    "resnet18": Entry("models.nets.dacl", "ResNet18", "He et al., CVPR 2016", "expressions", "classes"),
    "transfer": Entry("models.nets.transfer", "TransFER", "Xue et al., ICCV 2021", "expressions", "classes"),
    "drml": Entry("models.nets.drml", "DRML", "Zhao et al., CVPR 2016", "action_units", "units"),
    "drml-compact": Entry(
        "models.nets.drml_compact", "DRMLCompact", "after Zhao et al., CVPR 2016", "action_units", "units"
    ),
    "fcanet18": _fcanet(18),
    "fcanet34": _fcanet(34),
    "fcanet50": _fcanet(50),
    "fcanet101": _fcanet(101),
}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(ENTRIES)


def entry(name: str) -> Entry:
    """What is known of a net without importing torch.

    Raises:
        UnknownNet: there is no such net; the message lists all.
    """
    if name not in ENTRIES:
        raise UnknownNet(f"no net is called {name!r}; there is {', '.join(ENTRIES)}")
    return ENTRIES[name]


def options(name: str) -> dict[str, Any]:
    """The options of a net with their published defaults. Imports torch.

    Raises:
        UnknownNet: there is no such net.
    """
    known = entry(name)
    net = getattr(import_module(known.module), known.net)
    parameters = inspect.signature(net).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in dict(known.fixed)}


def build(name: str, **variant: Any) -> "nn.Module":
    """A net with random weights on the CPU, in training mode.

    `build("dacl", classes=7, edge=224)`, `build("transfer", classes=7, msad="token")`,
    `build("drml", units=12, norm="lrn")`, `build("fcanet34", classes=1000)`. What each option means stands with the
    net. All take (B, 3, edge, edge) float, RGB, and give logits in eval mode.

    Raises:
        UnknownNet: there is no such net; the message lists all.
        BadRequest: an option is unknown or has a value that does not exist; the message lists what does.
    """
    known = entry(name)
    allowed = options(name)
    for option in variant:
        if option not in allowed:
            raise BadRequest(f"{name} has no option {option!r}; it has {', '.join(allowed)}")
    net: nn.Module = getattr(import_module(known.module), known.net)(**dict(known.fixed), **variant)
    return net
