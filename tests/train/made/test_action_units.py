"""The action-unit net as a product: judged on people it never saw, shipped with a card that says so."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from contract.errors import BadSource, MienError
from contract.labels import ACTION_UNITS, EXPRESSIONS
from contract.model_card import read_card, weights_of
from models.engines.onnx import OnnxEngine
from models.nets import build
from models.zoo import FOLDER
from train.data.faceset import FaceSet, Shelf
from train.learn.checkpoint import WeightsNote, write_weights
from train.made import action_units
from train.made.action_units import Judged, judge, main, product, read_pairs
from train.metrics import auc
from train.ship import weights as shipping

SMILE = ACTION_UNITS.index("AU12")
NOTE = WeightsNote(
    name="mini",
    net="drml-compact",
    options={"edge": 32, "units": 12, "hidden": 8},
    task="action_units",
    labels=ACTION_UNITS,
    edge=32,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    grey=True,
    centre=1.0,
    data="synthetic action units",
    data_sha256="",
    faces=7,
    epoch=1,
    temperature=1.5,
)


def people(count: int = 40) -> Judged:
    """Crops whose brightness tells the smile, and the expression."""
    smiling = np.arange(count) * 2 // count
    crops = np.zeros((count, 32, 32, 3), np.uint8) + (100 * smiling + 20)[:, None, None, None].astype(np.uint8)
    crops += np.random.default_rng(0).integers(0, 9, crops.shape, np.uint8)
    kinds = [EXPRESSIONS.index(name) for name in ("neutral", "surprise", "anger", "happiness")]
    return Judged(crops, smiling, crops, np.array([kinds[n % 4] for n in range(count)]))


def coded(count: int = 40) -> FaceSet:
    """Noise with units by chance."""
    random = np.random.default_rng(0)
    flat = np.full(count, "")
    return FaceSet(
        name="noise",
        kind="intensity",
        names=ACTION_UNITS,
        pictures=Shelf([random.integers(0, 255, (count, 32, 32, 1), np.uint8)]),
        targets=random.integers(0, 4, (count, 12)).astype(np.uint8),
        splits=np.full(count, "validation"),
        subjects=flat,
        keys=flat,
        face_px=np.ones(count, np.float32),
        sharpness=np.ones(count, np.float32),
        to_picture=None,
        digest="",
    )


def test_a_net_that_sees_smiles_is_told_so() -> None:
    def answers(crops: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(crops), 12), np.float32)
        logits[:, SMILE] = crops.mean((1, 2, 3))
        return logits

    numbers = {each.name: each.value for each in judge(answers, people())}

    assert numbers["AUC of AU12, smiling against neutral"] == 1.0
    assert numbers["pairs in which the smile has more AU12"] == 1.0
    assert numbers["AUC of AU4, anger against neutral"] == 0.5  # it says nothing of AU4
    assert not any("sadness" in name for name in numbers)  # nobody is sad here
    assert {"AUC of AU1, surprise against neutral", "AUC of AU26, surprise against neutral"} <= set(numbers)


def test_weights_become_a_file_with_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = build(NOTE.net, **NOTE.options)
    write_weights(tmp_path / "weights.safetensors", net.state_dict(), NOTE)
    monkeypatch.setattr(action_units, "read_judged", lambda *_: people())
    monkeypatch.setattr(shipping, "ROUNDS", 12)
    monkeypatch.setattr(shipping, "WARM_UP", 2)
    told: list[str] = []

    card = product(tmp_path / "weights.safetensors", tmp_path, coded(), tmp_path / "zoo", told.append)

    assert read_card(tmp_path / "zoo" / "action_units.json") == card
    assert weights_of(card, tmp_path / "zoo")
    assert (card.labels, card.input_edge) == (ACTION_UNITS, 32)
    assert card.temperature > 5  # random weights know nothing: all chances near those of the set
    assert "xperimental" in card.intended_use
    assert {"AUC of AU12, smiling against neutral", "ms per crop on one core"} <= {m.name for m in card.measurements}
    crops = people().london[:3]
    logits = OnnxEngine(card, tmp_path / "zoo")(crops)["logits"]
    seen = torch.from_numpy(crops).float().permute(0, 3, 1, 2) / 255
    grey = (seen * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    net.eval()
    wanted = (net((grey - 0.5) / 0.25) + net((grey.flip(3) - 0.5) / 0.25)).detach().numpy() / 2  # and mirrored
    assert np.abs(logits - wanted).max() < 0.01  # weights stored with eleven bits
    assert any("AU12" in line for line in told)


def test_a_folder_without_pairs_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"no NNN_neutral\.jpg"):
        read_pairs(tmp_path, 32)
    cv2.imwrite(str(tmp_path / "001_neutral.jpg"), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(BadSource, match=r"001_neutral.jpg: no picture with a face"):
        read_pairs(tmp_path, 32)


def test_foreign_weights_are_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"something else")

    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "weights.safetensors"), str(tmp_path), str(tmp_path), "--out", str(tmp_path / "zoo")])

    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "zoo").exists()
    assert issubclass(BadSource, MienError)


def test_the_shipped_net_tells_smiles_of_people_it_never_saw(shared_data: Path) -> None:
    folder = FOLDER / "action_units"
    card = read_card(folder / "action_units.json")
    crops, smiling = read_pairs(shared_data / "faces" / "london", card.input_edge)

    scores = OnnxEngine(card, folder)(crops)["logits"][:, SMILE]

    stated = next(each.value for each in card.measurements if each.name.startswith("AUC of AU12, smiling"))
    assert len(crops) == 80
    assert auc(scores, smiling) == pytest.approx(stated, abs=0.01)  # other processors round other logits
    assert auc(scores, smiling) >= 0.96  # what AU12 must reach on real faces
