"""Trained weights as files that run without torch."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.errors import WeightsDoNotFit
from contract.model_card import read_card
from mien.cli import app
from train.checkpoint import read_weights
from train.data.faceset import open_set
from train.evaluate import contestant, evaluate
from train.ship import ship
from train.tensors import write_tensors


def test_files_answer_as_the_weights_and_say_what_they_are_worth(learnt: Path, patterns: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["export", str(learnt.parent), "--data", str(patterns), "--out", str(tmp_path), "--name", "bands"]
    )

    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "bands.onnx",
        "bands.json",
        "bands.int8.onnx",
        "bands.int8.json",
    }
    faces, (_, note) = open_set(patterns), read_weights(learnt)
    rows = faces.rows(["validation"])
    torch_says = contestant(str(learnt)).ask(faces, rows)
    for name, within in (("bands", 0.01), ("bands.int8", 0.5)):
        card = read_card(tmp_path / f"{name}.json")
        entrant = contestant(str(tmp_path / f"{name}.json"))
        assert np.abs(entrant.ask(faces, rows) - torch_says).max() < within
        document, _, _ = evaluate([entrant], faces)
        numbers = {each.name: each.value for each in card.measurements}
        assert numbers["accuracy, class"] == document["nets"][0]["protocols"]["class"]["accuracy"] > 0.9
        assert numbers["ms per crop on one core"] > 0
        assert (card.labels, card.input_edge, card.temperature) == (note.labels, 16, round(note.temperature, 4))
        assert card.source.startswith("mien train mini: 8 epochs in ")
    assert {each.name: each.value for each in card.measurements}["equal decisions with fp32"] >= 0.995
    assert "bands.int8.onnx: " in done.output


def test_without_faces_nothing_is_claimed(learnt: Path, tmp_path: Path) -> None:
    said: list[str] = []

    card = ship(learnt, tmp_path, "", None, "mien export", "a test", said.append)

    assert {path.name for path in tmp_path.iterdir()} == {"mini.onnx", "mini.json"}
    assert card.source == "a test"
    assert [each.name for each in card.measurements] == ["largest difference of a logit from torch"]
    assert len(said) == 2


def test_what_is_no_weights_leaves_nothing_behind(tmp_path: Path) -> None:
    write_tensors(tmp_path / "other.safetensors", {}, {"schema": "another/1"})

    with pytest.raises(WeightsDoNotFit, match=r"schema 'another/1', wanted mien\.weights/1"):
        ship(tmp_path / "other.safetensors", tmp_path / "out", "", None, "mien export")
    assert not (tmp_path / "out").exists()


def test_the_engine_export_points_to_the_one_that_knows_the_input(learnt: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["engine", "export", "transfer", "--weights", str(learnt), "--out", str(tmp_path)])

    assert done.exit_code != 0
    assert f"{learnt}: weights of `mien train`; `mien export {learnt}` knows their input" in str(done.exception)
