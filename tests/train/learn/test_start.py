"""Nets that begin from another's weights, and nets that are taught."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.errors import BadRequest, MienError, WeightsDoNotFit
from models.nets.dacl import DACL, ResNet18
from models.nets.drml_compact import DRMLCompact
from models.nets.fcanet import FcaNet
from train.__main__ import train
from train.learn.checkpoint import read_weights
from train.learn.start import begin
from train.learn.teacher import Teachers
from train.learn.tensors import write_tensors
from train.recipe import Net, Recipe, read_recipe, with_files

THIN = (64, 96, 128, 256)
WriteRecipe = Callable[..., Path]


def lived(net: nn.Module) -> nn.Module:
    """The net with statistics and scales of its norms unlike those of a new one, in eval mode."""
    torch.manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) / 10
            module.running_var = 1 + torch.rand(module.num_features)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net.eval()


@pytest.fixture
def shallow(tmp_path: Path) -> tuple[nn.Module, Path]:
    """A ResNet-18 as if it were trained, and its file."""
    net, path = lived(ResNet18(classes=8)), tmp_path / "resnet18.safetensors"
    write_tensors(path, net.state_dict(), {})
    return net, path


def pictures(count: int = 3, seed: int = 5) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def beginning(name: str, path: Path, part: str, **options: object) -> Recipe:
    """A recipe that begins so."""
    net = Net(name=name, edge=64, options=options, start=str(path), start_part=part)
    return dataclasses.replace(read_recipe("tiny"), net=net)


@torch.inference_mode()
def test_a_deeper_net_begins_with_the_answers_of_the_shallower(shallow: tuple[nn.Module, Path]) -> None:
    taught, path = shallow
    net = FcaNet(depth=34, classes=8, edge=64)

    begin(net, beginning("fcanet34", path, "grown"))

    assert torch.allclose(net.eval()(pictures()), taught(pictures()), atol=1e-4)


def test_a_deeper_net_can_learn_in_what_was_added(shallow: tuple[nn.Module, Path]) -> None:
    net = FcaNet(depth=34, classes=8, edge=64)
    begin(net, beginning("fcanet34", shallow[1], "grown"))

    net.train()(pictures()).square().sum().backward()

    added = net.get_submodule("layer1.2")
    assert added.bn2.weight.grad.abs().max() > 0  # type: ignore[union-attr]
    assert net.attentions()[0].fc[2].weight.grad.abs().max() > 0  # type: ignore[union-attr]


@torch.inference_mode()
def test_a_deeper_net_keeps_the_attention_of_the_shallower(tmp_path: Path) -> None:
    taught, path = lived(FcaNet(depth=18, classes=8, edge=64)), tmp_path / "fcanet18.safetensors"
    write_tensors(path, taught.state_dict(), {})
    net = FcaNet(depth=34, classes=8, edge=64)

    begin(net, beginning("fcanet34", path, "grown"))

    assert torch.allclose(net.eval()(pictures()), taught(pictures()), atol=1e-4)


@torch.inference_mode()
def test_a_thinner_net_keeps_the_channels_that_count(tmp_path: Path) -> None:
    wide, path = lived(ResNet18(classes=8)), tmp_path / "wide.safetensors"
    for name, unit in wide.named_modules():
        if name.endswith("conv2"):
            stage = int(name[5]) - 1
            silent = torch.randperm(unit.weight.shape[1])[THIN[stage] :]  # nobody reads these
            unit.weight[:, silent] = 0
    write_tensors(path, wide.state_dict(), {})
    net = DACL(classes=8, edge=64, inner=THIN)

    begin(net, beginning("dacl", path, "narrowed", inner=THIN))

    assert torch.allclose(net.eval()(pictures()), wide(pictures()), atol=1e-4)
    assert net.inference().layer4[0].conv1.out_channels == 256  # type: ignore[union-attr]


@torch.inference_mode()
def test_dacl_begins_with_the_answers_of_a_whole_resnet(shallow: tuple[nn.Module, Path]) -> None:
    taught, path = shallow
    net = DACL(classes=8, edge=64)

    begin(net, beginning("dacl", path, "inference"))

    assert torch.allclose(net.eval()(pictures()), taught(pictures()), atol=1e-5)


@torch.inference_mode()
def test_a_thinner_net_is_solved_for_before_it_learns(shallow: tuple[nn.Module, Path]) -> None:
    wide, path = shallow
    recipe = beginning("resnet18", path, "narrowed", inner=(64, 128, 192, 384))
    cut, solved = (ResNet18(classes=8, edge=64, inner=(64, 128, 192, 384)) for _ in range(2))

    begin(cut, recipe)
    begin(solved, recipe, [pictures(32, seed) for seed in range(8)])

    wanted = wide(pictures(16))
    errors = [(net.eval()(pictures(16)) - wanted).square().mean() for net in (cut, solved)]
    assert errors[1] < errors[0] / 4  # pictures that it was not solved on


@pytest.mark.parametrize(
    ("name", "net", "part", "wanted"),
    [
        ("dacl", lambda: DACL(classes=7, edge=64), "narrowed", r"fc.weight is \(8, 512\), wanted \(7, 512\)"),
        ("dacl", lambda: DACL(classes=7, edge=64), "inference", r"fc.weight is \(8, 512\), wanted \(7, 512\)"),
        ("fcanet50", lambda: FcaNet(depth=50, classes=8, edge=64), "grown", "layer1.0 is none"),
        ("drml-compact", lambda: DRMLCompact(units=12), "grown", "this is DRMLCompact"),
    ],
)
def test_what_cannot_be_begun_so_is_one_error(
    shallow: tuple[nn.Module, Path], name: str, net: Callable[[], nn.Module], part: str, wanted: str
) -> None:
    with pytest.raises(MienError, match=wanted):
        begin(net(), beginning(name, shallow[1], part))


def test_dacl_takes_four_numbers_of_inner_channels() -> None:
    with pytest.raises(BadRequest, match="one number of channels for each of 4 stages"):
        DACL(inner=(64, 96))


def test_a_net_learns_from_its_teacher_alone(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path, learnt: Path
) -> None:
    plain = read_recipe(write_recipe(optimiser="adamw", rate="0.003", mixup="0.0", epochs="6"))
    taught = dataclasses.replace(plain, loss=dataclasses.replace(plain.loss, teacher_weight=1.0))  # labels do not count

    summary = train(with_files(taught, None, [learnt]), patterns, tmp_path / "run", device="cpu")

    assert summary["validation_accuracy"] > 0.9  # chance is one half


def test_what_teachers_say_is_mixed_into_the_labels(write_recipe: WriteRecipe, learnt: Path) -> None:
    recipe = read_recipe(write_recipe())
    recipe = with_files(
        dataclasses.replace(recipe, loss=dataclasses.replace(recipe.loss, teacher_weight=0.25)),
        None,
        [learnt, learnt],
    )
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    seen = torch.randn(2, 3, 16, 16)

    alone = Teachers(recipe, ("neutral", "happiness"), torch.device("cpu")).targets(seen, torch.zeros(2, 2)) / 0.25
    mixed = Teachers(recipe, ("neutral", "happiness"), torch.device("cpu")).targets(seen, labels)

    assert torch.allclose(alone.sum(1), torch.ones(2))
    assert torch.allclose(mixed, 0.75 * labels + 0.25 * alone)
    assert np.ptp(alone.numpy()) > 0.01


def test_a_teacher_of_other_labels_or_another_size_is_refused(write_recipe: WriteRecipe, learnt: Path) -> None:
    recipe = read_recipe(write_recipe())
    recipe = dataclasses.replace(recipe, loss=dataclasses.replace(recipe.loss, teachers=(str(learnt),)))
    larger = dataclasses.replace(recipe, net=dataclasses.replace(recipe.net, edge=32))

    with pytest.raises(WeightsDoNotFit, match="a teacher with labels"):
        Teachers(recipe, ("anger", "happiness"), torch.device("cpu"))
    with pytest.raises(WeightsDoNotFit, match="a teacher with edge 16, the net that learns has 32"):
        Teachers(larger, ("neutral", "happiness"), torch.device("cpu"))


def test_a_recipe_says_which_files_it_wants(tmp_path: Path) -> None:
    slim = read_recipe("resnet18-slim-ferplus")
    file = tmp_path / "weights.safetensors"

    with pytest.raises(BadRequest, match=r"begins from weights \(narrowed\); wanted --start FILE"):
        with_files(slim)
    with pytest.raises(BadRequest, match=r"0 teachers of weight 1\.0; wanted --teacher FILE"):
        with_files(slim, file)
    with pytest.raises(BadRequest, match=r"1 teachers of weight 0\.0; wanted loss\.teacher_weight above 0"):
        with_files(read_recipe("tiny"), None, [file])
    assert with_files(slim, file, [file]).net.start == str(file)


def test_what_a_run_began_from_lies_beside_it(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path, learnt: Path
) -> None:
    recipe = read_recipe(write_recipe(epochs="1"))
    recipe = dataclasses.replace(recipe, net=dataclasses.replace(recipe.net, start=str(learnt), start_part="all"))

    train(recipe, patterns, tmp_path / "run", device="cpu")

    begun, note = read_weights(tmp_path / "run" / "start.safetensors")
    given, _ = read_weights(learnt)
    assert (note.epoch, note.faces) == (0, 0)
    assert all(torch.equal(each, begun.state_dict()[name]) for name, each in given.state_dict().items())
