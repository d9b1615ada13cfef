"""Training on patterns: what is learnt, what goes on, what stops."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.errors import BadOutput, BadRequest, TrainingDiverged, WeightsDoNotFit
from train.__main__ import train
from train.learn import loop
from train.learn.augment import mixed
from train.learn.checkpoint import read_weights
from train.learn.tensors import read_tensors
from train.recipe import read_recipe

WriteRecipe = Callable[..., Path]


def test_patterns_are_learnt_and_the_summary_says_so(patterns: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    out = tmp_path / "run"

    path = write_recipe(optimiser="adamw", rate="0.003", mixup="0.0", epochs="8")
    summary = train(read_recipe(path), patterns, out, device="cpu")

    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [each["epoch"] for each in history] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert summary["validation_accuracy"] > 0.9  # chance is one half
    net, note = read_weights(out / "weights.safetensors")
    assert (note.net, note.labels, note.epoch) == ("transfer", ("neutral", "happiness"), summary["best_epoch"])
    assert not net.training
    assert list((out / "scalars").glob("events.*"))


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_two_epochs_and_two_more_are_exactly_four(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path, optimiser: str
) -> None:
    recipe = read_recipe(write_recipe(optimiser=optimiser, rate="0.002"))

    train(recipe, patterns, tmp_path / "whole", device="cpu")
    train(recipe, patterns, tmp_path / "parts", device="cpu", stop_after=2)
    train(recipe, patterns, tmp_path / "parts", device="cpu", resume=True)

    whole, note = read_tensors(tmp_path / "whole" / "checkpoint.safetensors")
    parts, other = read_tensors(tmp_path / "parts" / "checkpoint.safetensors")
    assert whole.keys() == parts.keys()
    assert any(name.startswith("average.") for name in whole)
    assert any(name.startswith("optimiser.") for name in whole)
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert note.pop("spent_s") > 0 < other.pop("spent_s")
    assert note == other
    assert len((tmp_path / "parts" / "history.jsonl").read_text().splitlines()) == 4
    again = train(recipe, patterns, tmp_path / "parts", device="cpu", resume=True)  # nothing is left to do
    assert (again["epochs"], again["loss"]) == (4, None)


def test_best_weights_that_stay_the_best_are_not_written_and_judged_again(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = loop.write_weights
    monkeypatch.setattr(
        loop, "write_weights", lambda path, entries, note: (written.append(note.epoch), write(path, entries, note))
    )
    monkeypatch.setattr(loop, "score_of", lambda *_: next(scores))
    scores = iter([0.5, 0.4, 0.6, 0.6])

    summary = train(read_recipe(write_recipe(epochs="4")), patterns, tmp_path / "run", device="cpu")

    assert written == [1, 3]
    assert (summary["best_epoch"], summary["validation_accuracy"]) == (3, 0.6)


def test_another_seed_is_another_run(patterns: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    for seed in (0, 1):
        path = write_recipe(epochs="1")
        path.write_text(path.read_text() + f"seed = {seed}\n")
        train(read_recipe(path), patterns, tmp_path / str(seed), device="cpu")
    one, other = (read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in "01")
    assert not torch.equal(one["objective.net.vit.cls_token"], other["objective.net.vit.cls_token"])


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = read_recipe(write_recipe(average="0.0"))
    train(recipe, patterns, tmp_path / "run", device="cpu", stop_after=1)
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    tensors, note = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    tensors["objective.net.head.fc.bias"][0] = float("nan")
    from train.learn.tensors import write_tensors

    (tmp_path / "broken").mkdir()
    write_tensors(tmp_path / "broken" / "checkpoint.safetensors", tensors, note)
    broken = (tmp_path / "broken" / "checkpoint.safetensors").read_bytes()

    with pytest.raises(TrainingDiverged, match=r"the loss is nan by step \d+ of epoch 2.*checkpoint.safetensors"):
        train(recipe, patterns, tmp_path / "broken", device="cpu", resume=True)

    assert (tmp_path / "broken" / "checkpoint.safetensors").read_bytes() == broken
    assert before != broken


def test_a_run_is_not_overwritten_and_goes_on_only_as_it_began(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = read_recipe(write_recipe(epochs="2"))
    train(recipe, patterns, tmp_path / "run", device="cpu", stop_after=1)

    with pytest.raises(BadOutput, match="holds a run already"):
        train(recipe, patterns, tmp_path / "run", device="cpu")
    with pytest.raises(BadRequest, match=r"made with optimiser.rate = 0.05, this run has 0.03"):
        train(read_recipe(write_recipe(epochs="2", rate="0.03")), patterns, tmp_path / "run", device="cpu", resume=True)
    text = write_recipe(epochs="2").read_text().replace("depth = 1", "depth = 2")
    (tmp_path / "other.toml").write_text(text)
    with pytest.raises(WeightsDoNotFit, match=r"objective\.net\.vit\.blocks\.1\..* is missing"):
        train(read_recipe(tmp_path / "other.toml"), patterns, tmp_path / "run", device="cpu", resume=True)


def test_it_stops_when_validation_does_not_rise(patterns: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    path = write_recipe(epochs="9", rate="1e-9", average="0.0")
    path.write_text(path.read_text() + "patience = 2\n")
    summary = train(read_recipe(path), patterns, tmp_path / "run", device="cpu")
    assert summary["epochs"] == summary["best_epoch"] + 2 < 9


def test_transfers_stem_learns_alone_first_then_everything(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    text = write_recipe(epochs="2", average="0.0").read_text()
    text = text.replace('"random" }', '"zero" }\nstem_epochs = 1')
    (tmp_path / "r.toml").write_text(text)
    recipe = read_recipe(tmp_path / "r.toml")

    train(recipe, patterns, tmp_path / "run", device="cpu", stop_after=1)
    first, _ = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    summary = train(recipe, patterns, tmp_path / "run", device="cpu", resume=True)
    second, _ = read_tensors(tmp_path / "run" / "checkpoint.safetensors")

    def moved(name: str) -> bool:
        return not torch.equal(first[f"objective.{name}"], second[f"objective.{name}"])

    assert moved("net.head.fc.weight")
    assert not moved("stem_head.weight")
    assert not first["objective.net.head.fc.weight"].any()  # released start: zero, and the stem's epoch left it so
    assert summary["best_epoch"] == 2  # a stem alone is never kept as a net


def test_dacl_trains_its_centres_and_is_kept_without_its_attention(
    patterns: Path, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    text = write_recipe(epochs="1", average="0.0", options="").read_text().replace("transfer", "dacl")
    text = text.replace("edge = 16", "edge = 32")
    (tmp_path / "r.toml").write_text(text.replace("[loss]", "[loss]\ncentre_weight = 0.01"))
    recipe = read_recipe(tmp_path / "r.toml")

    train(recipe, patterns, tmp_path / "run", device="cpu")

    checkpoint, _ = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    weights, _ = read_tensors(tmp_path / "run" / "weights.safetensors")
    assert checkpoint["objective.centres.centers"].shape == (2, 512)
    assert any(name.startswith("objective.net.attention.") for name in checkpoint)
    assert not any("attention" in name for name in weights)
    net, _ = read_weights(tmp_path / "run" / "weights.safetensors")
    assert type(net).__name__ == "ResNet18"


def test_two_processes_train_together(patterns: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    path, out = write_recipe(epochs="1"), tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--standalone", "-m", "train", str(path), "--data", str(patterns), "--out", str(out), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    summary = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [each["processes"] for each in summary] == [2, 2] or summary[0]["processes"] == 2
    assert read_tensors(out / "checkpoint.safetensors")[1]["processes"] == 2


def test_mixing_keeps_labels_whole_and_does_nothing_without_spread() -> None:
    pictures, targets = torch.rand(4, 3, 8, 8), torch.eye(4)
    same, labels = mixed(pictures, targets, 0.0, np.random.default_rng(0))
    assert same is pictures
    assert labels is targets
    changed, labels = mixed(pictures, targets, 0.5, np.random.default_rng(0))
    assert torch.allclose(labels.sum(1), torch.ones(4))
    share = labels[0, 0]
    assert torch.allclose(changed[0], share * pictures[0] + (1 - share) * pictures[3])


def test_a_missing_gpu_is_one_error(patterns: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(BadRequest, match="no GPU that torch"):
        train(read_recipe(write_recipe()), patterns, tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()
