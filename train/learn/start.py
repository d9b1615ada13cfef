"""Where a net begins: with the weights of a file, or with those of a wider or a shallower net made to fit."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.errors import BadRequest, WeightsDoNotFit
from models.nets import build
from models.nets.fcanet import FcaNet
from models.nets.layers.residual import BasicUnit
from models.nets.layers.resnet import ResNetTrunk
from train.learn.augment import Pictures
from train.learn.checkpoint import fitted
from train.learn.feed import Feed
from train.learn.narrow import narrowed, refit
from train.learn.tensors import read_tensors
from train.recipe import Recipe

STAGES = ("layer1", "layer2", "layer3", "layer4")
MADE_TO_FIT = ("narrowed", "grown")
SOME_FACES = 4096  # that a thinner net is fitted on before it learns


def begin(net: nn.Module, recipe: Recipe, some: Iterable[Tensor] = ()) -> None:
    """Give a net the weights that its recipe begins with.

    Args:
        net: to be changed; of the recipe.
        recipe: `net.start` is any form that `models.nets.reference_weights` reads, for «grown» a file of safetensors;
            `net.start_part` is «backbone», «inference» or «all» of the same net; «narrowed»: of the same net with more
            channels within its units; «grown»: of a ResNet with fewer units per stage, so that the net answers as
            that one did.
        some: batches of normalised pictures (B, 3, E, E), for «narrowed».

    Raises:
        WeightsDoNotFit: the file is of another net.
        BadRequest: this net cannot be begun so.
    """
    from models.nets.reference_weights import load_reference_weights  # needs safetensors

    path, part = Path(recipe.net.start), recipe.net.start_part
    if part not in MADE_TO_FIT:
        load_reference_weights(net, path, part=part)
        return
    if not isinstance(net, ResNetTrunk):
        raise BadRequest(f"net.start_part = {part!r} is for nets on a ResNet, this is {type(net).__name__}")
    if part == "grown":
        given, _ = read_tensors(path)
        _fit(net, path, grown(net, {name: _single(each) for name, each in given.items()}))
        return
    options = {name: each for name, each in recipe.net.options.items() if name != "inner"}
    wide = build(recipe.net.name, edge=recipe.net.edge, classes=net.get_submodule("fc").out_features, **options)
    assert isinstance(wide, ResNetTrunk)
    load_reference_weights(wide, path, part="inference")
    _fit(net, path, narrowed(net, wide.state_dict()))
    refit(net, wide.to(next(net.parameters()).device), some)


def origins(recipe: Recipe) -> Iterator[str]:
    """Which weights a run began with and was taught by, in words."""
    if recipe.net.start:
        yield f"begun with {Path(recipe.net.start).name} ({recipe.net.start_part})"
    if recipe.loss.teachers:
        yield f"taught by {' and '.join(Path(each).name for each in recipe.loss.teachers)}"


def some_pictures(recipe: Recipe, pictures: Pictures, feed: Feed, rows: NDArray[np.int64]) -> Iterator[Tensor]:
    """Batches of training pictures, the same in every process."""
    random = torch.Generator(feed.device).manual_seed(recipe.run.seed)
    some = np.random.default_rng(recipe.run.seed).permutation(rows)[:SOME_FACES]
    for at in range(0, len(some), recipe.run.batch):
        yield pictures.training(*feed(some[at : at + recipe.run.batch]), random)


def _fit(net: nn.Module, path: Path, entries: dict[str, Tensor]) -> None:
    """Load the entries; attentions stay as they are where the other net has none."""
    own = {name: each for name, each in net.state_dict().items() if name not in entries and "att" in name}
    fitted(path, net, entries | own)


def _single(entry: Tensor) -> Tensor:
    return entry.float() if entry.is_floating_point() else entry


@torch.no_grad()
def grown(net: ResNetTrunk, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Entries under which a deeper net answers as the shallower one.

    An added unit adds nothing yet: its last norm's scale and shift are zero, and what stands before it is not
    negative, so its ReLU changes nothing. A spectral attention begins at sigmoid(0) = 1/2 for every channel, its
    last weights being zero, and the norm before it counts double. Source: Net2DeeperNet of Chen, Goodfellow & Shlens,
    Net2Net (ICLR 2016); zero scales: Goyal et al., Accurate, Large Minibatch SGD (2017), sec. 5.1.

    Raises:
        BadRequest: a unit of the net is none of two 3x3 convolutions.
        WeightsDoNotFit: the given entries lack a unit's, or are of another shape.
    """
    entries, attends = dict(given), isinstance(net, FcaNet)
    for stage in STAGES:
        for place, unit in enumerate(net.get_submodule(stage).children()):
            name = f"{stage}.{place}"
            if not isinstance(unit, BasicUnit):
                raise BadRequest(f"net.start_part = 'grown' is for units of two 3x3 convolutions, {name} is none")
            if f"{name}.conv1.weight" not in given:
                if unit.downsample is not None:
                    raise WeightsDoNotFit(f"{name}.conv1.weight is missing: a stage's first unit cannot be added")
                nn.init.zeros_(unit.bn2.weight)
                entries |= {f"{name}.{entry}": each.clone() for entry, each in unit.state_dict().items()}
            elif attends and f"{name}.att.fc.2.weight" not in given:
                for entry in ("bn2.weight", "bn2.bias"):
                    entries[f"{name}.{entry}"] = 2 * given[f"{name}.{entry}"]
    if isinstance(net, FcaNet):
        for attention in net.attentions():
            last = attention.fc[2]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
    return entries
