"""Averages of weights that began alike."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from contract.errors import BadRequest, MienError
from mien.cli import app
from models.nets.dacl import ResNet18
from tests.train.conftest import patterned
from train.__main__ import train
from train.data.faceset import open_set
from train.learn.checkpoint import read_weights
from train.learn.tensors import write_tensors
from train.measure.evaluate import contestant, evaluate
from train.recipe import read_recipe
from train.ship.soup import blended, soup


@pytest.fixture
def early(patterns: Path, write_recipe: Callable[..., Path], tmp_path: Path) -> Path:
    """What `learnt` was after two of its eight epochs of a shorter course: the same beginning."""
    recipe = read_recipe(write_recipe(optimiser="adamw", rate="0.003", mixup="0.0", epochs="2"))
    train(recipe, patterns, tmp_path / "early", device="cpu")
    return tmp_path / "early" / "weights.safetensors"


def test_the_average_is_no_worse_on_validation_than_the_best_alone(
    learnt: Path, early: Path, patterns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "soup.safetensors"

    done = CliRunner().invoke(app, ["soup", str(early), str(learnt), "--data", str(patterns), "--out", str(out)])

    assert done.exit_code == 0, done.output
    scores = [float(score) for score in re.findall(r": (\d\.\d{4})$", done.output, re.MULTILINE)]
    assert len(scores) == 2 + 5  # each alone, five shares
    document, _, _ = evaluate([contestant(str(out))], open_set(patterns))
    kept = document["nets"][0]["protocols"]["class"]["accuracy"]
    assert kept == pytest.approx(max(scores), abs=1e-4)
    _, note = read_weights(out)
    assert note.measurements == {"validation accuracy": kept}
    assert "averaged: " in note.trained


def test_what_a_net_began_from_may_be_a_foreign_file(learnt: Path, patterns: Path, tmp_path: Path) -> None:
    net, _ = read_weights(learnt)
    write_tensors(tmp_path / "foreign.safetensors", net.state_dict(), {})
    said: list[str] = []

    soup([learnt, tmp_path / "foreign.safetensors"], open_set(patterns), tmp_path / "out.safetensors", said.append)

    assert said[0].split()[-1] == said[1].split()[-1]  # the same net
    kept, _ = read_weights(tmp_path / "out.safetensors")
    assert all(torch.equal(one, kept.state_dict()[name]) for name, one in net.state_dict().items())


def test_shares_are_of_the_second() -> None:
    one, other = (
        {"a": torch.tensor([0.0, 4.0]), "n": torch.tensor(3)},
        {"a": torch.tensor([1.0, 0.0]), "n": torch.tensor(9)},
    )

    mixed = blended(one, other, 0.25)

    assert mixed["a"].tolist() == [0.25, 3.0]
    assert mixed["n"] == 3


def test_what_cannot_be_averaged_is_one_error(learnt: Path, patterns: Path, tmp_path: Path) -> None:
    write_tensors(tmp_path / "resnet.safetensors", ResNet18(classes=2).state_dict(), {})
    out, three = tmp_path / "out.safetensors", patterned(24, classes=3)

    with pytest.raises(BadRequest, match="1 files of weights; wanted two or more"):
        soup([learnt], open_set(patterns), out)
    with pytest.raises(MienError, match=r"resnet\.safetensors: .* is missing"):
        soup([learnt, tmp_path / "resnet.safetensors"], open_set(patterns), out)
    with pytest.raises(
        BadRequest, match="patterns has neutral, happiness, surprise; the net answers neutral, happiness"
    ):
        soup([learnt, learnt], three, out)
    assert not out.exists()
