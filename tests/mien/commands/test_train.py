"""`mien train`, `mien evaluate` and `mien data` from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from contract.errors import MienError
from mien.commands.train import mount
from train.learn.tensors import read_tensors

RECIPE = """name = "mini"
source = "made for this test"
[net]
name = "transfer"
edge = 16
options = { stem_units = [1, 1, 1], width = 16, depth = 1, heads = 2, head = "random" }
[data]
labels = "soft"
grey = true
validation = ["validation"]
[optimiser]
name = "adamw"
rate = 1e-3
[run]
epochs = 1
batch = 16
channels_last = false
"""


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    mount(app)
    return app


@pytest.fixture
def ferplus(shared_data: Path, tmp_path: Path) -> Path:
    """A folder with 40 training and 40 validation faces in the layout of the shared data."""
    folder = tmp_path / "ferplus"
    folder.mkdir()
    for name in ("train_a", "validation"):
        with np.load(shared_data / "ferplus" / f"{name}.npz", allow_pickle=False) as fields:
            some = {field: fields[field][:40] for field in ("images", "votes", "fer_row", "usage")}
        np.savez(folder / f"{name}.npz", **some)
    return folder


def run(app: typer.Typer, *words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_prepare_pack_train_and_evaluate(app: typer.Typer, ferplus: Path, tmp_path: Path) -> None:
    (tmp_path / "mini.toml").write_text(RECIPE)

    said = run(app, "data", "prepare", "ferplus", ferplus, "--out", tmp_path / "set", "--whole")
    assert "FER+, 80 faces (train 40, validation 40)" in said
    run(app, "data", "pack", tmp_path / "set", tmp_path / "set.npz")
    said = run(
        app, "train", tmp_path / "mini.toml", "--data", tmp_path / "set.npz", "--out", tmp_path / "run", "--json"
    )
    summary = json.loads(said.splitlines()[-1])
    assert (summary["recipe"], summary["epochs"]) == ("mini", 1)
    said = run(
        app,
        *("evaluate", tmp_path / "run", "--data", ferplus / "validation.npz", "--calibrate"),
        *("--json", tmp_path / "numbers.json", "--report", tmp_path / "report"),
    )
    assert "majority" in said
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    fitted = numbers["nets"][0]["calibration"]["fitted_temperature"]
    assert read_tensors(tmp_path / "run" / "weights.safetensors")[1]["temperature"] == pytest.approx(fitted)
    assert (tmp_path / "report" / "index.html").stat().st_size > 5000


def test_a_data_set_is_prepared_beside_the_run(app: typer.Typer, ferplus: Path, tmp_path: Path) -> None:
    (tmp_path / "mini.toml").write_text(RECIPE)
    run(app, "train", tmp_path / "mini.toml", "--data", ferplus, "--out", tmp_path / "run")
    assert (tmp_path / "run" / "set" / "manifest.json").is_file()
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_recipes_are_listed(app: typer.Typer) -> None:
    assert "dacl-rafdb\n" in run(app, "train", "list")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["train", "tiny"], "no --data"),
        (["train", "tinny", "--data", "x.npz"], "no recipe «tinny»"),
        (["train", "tiny", "--data", "x.npz"], r"x\.npz"),
        (["evaluate", "expressions.int8", "--data", "x.npz"], r"x\.npz"),
        (["evaluate", "nobody", "--data", "x.npz"], "'nobody' is no net of the zoo"),
        (["data", "prepare", "fer", "x", "--out", "y"], "no data set is called 'fer'"),
        (["data", "pack", "x", "y.zip"], "wanted .npz"),
        (["data", "synthetic-action-units", "x", "--data", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_error(app: typer.Typer, words: list[str], wanted: str, tmp_path: Path) -> None:
    with pytest.raises(MienError, match=wanted):
        CliRunner().invoke(app, words, catch_exceptions=False)
