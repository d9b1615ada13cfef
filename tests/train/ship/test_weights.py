"""Trained weights as files that run without torch."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.errors import WeightsDoNotFit
from contract.labels import ACTION_UNITS
from contract.model_card import read_card
from mien.cli import app
from models.nets import build
from tests.train.conftest import patterned
from train.data.faceset import open_set
from train.learn.checkpoint import WeightsNote, read_weights, write_weights
from train.learn.tensors import write_tensors
from train.measure.evaluate import contestant, evaluate
from train.ship.weights import ship


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
        assert numbers["accuracy, class of 24 faces"] == document["nets"][0]["protocols"]["class"]["accuracy"] > 0.9
        assert numbers["ms per crop on one core"] > 0
        assert (card.labels, card.input_edge, card.temperature) == (note.labels, 16, round(note.temperature, 4))
        assert re.match(r"mien train mini: [1-8] epochs in ", card.source)
    assert {each.name: each.value for each in card.measurements}["equal decisions with fp32"] >= 0.995
    assert "bands.int8.onnx: " in done.output


def test_without_faces_nothing_is_claimed(learnt: Path, tmp_path: Path) -> None:
    said: list[str] = []

    card = ship(learnt, tmp_path, "", None, "mien export", "a test", said.append)

    assert {path.name for path in tmp_path.iterdir()} == {"mini.onnx", "mini.json"}
    assert card.source == "a test"
    assert [each.name for each in card.measurements] == ["largest difference of a logit from torch"]
    assert len(said) == 2


def test_a_net_of_action_units_is_measured_by_unit(tmp_path: Path) -> None:
    note = WeightsNote(
        name="units",
        net="drml-compact",
        options={"edge": 32, "hidden": 10, "units": 12},
        task="action_units",
        labels=ACTION_UNITS,
        edge=32,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        grey=True,
        centre=1.0,
        data="drawn",
        data_sha256="",
        faces=1,
        epoch=1,
    )
    net = build(note.net, **note.options)
    write_weights(tmp_path / "units.safetensors", net.state_dict(), note)
    faces = patterned(96, edge=32)
    intensities = np.random.default_rng(0).integers(0, 6, (96, 12)).astype(np.uint8)
    faces = dataclasses.replace(faces, kind="intensity", names=ACTION_UNITS, targets=intensities)
    said: list[str] = []

    card = ship(tmp_path / "units.safetensors", tmp_path / "out", "", faces, "mien export", say=said.append)

    numbers = {each.name: each.value for each in read_card(tmp_path / "out" / "units.json").measurements}
    document, _, _ = evaluate([contestant(str(tmp_path / "out" / "units.json"))], faces)
    assert numbers["mean AUC"] == document["nets"][0]["mean_auc"]
    assert numbers["AUC of AU12"] == document["nets"][0]["units"]["AU12"]["auc"]
    assert card.limits.startswith("Units are what a face does")


def test_what_is_no_weights_leaves_nothing_behind(tmp_path: Path) -> None:
    write_tensors(tmp_path / "other.safetensors", {}, {"schema": "another/1"})

    with pytest.raises(WeightsDoNotFit, match=r"schema 'another/1', wanted mien\.weights/1"):
        ship(tmp_path / "other.safetensors", tmp_path / "out", "", None, "mien export")
    assert not (tmp_path / "out").exists()


def test_the_engine_export_points_to_the_one_that_knows_the_input(learnt: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["engine", "export", "transfer", "--weights", str(learnt), "--out", str(tmp_path)])

    assert done.exit_code != 0
    assert f"{learnt}: weights of `mien train`; `mien export {learnt}` knows their input" in str(done.exception)
