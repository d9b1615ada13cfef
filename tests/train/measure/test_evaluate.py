"""Judging nets: cards, weights, ensembles, reports; against numbers computed by hand or by another way."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.errors import BadRequest, BadSource, UnknownNet, WeightsDoNotFit
from contract.labels import ACTION_UNITS, EXPRESSIONS
from train.data.faceset import FaceSet, Shelf, open_set
from train.learn.checkpoint import WeightsNote, entries_of, read_weights, write_weights
from train.learn.tensors import read_tensors
from train.measure.evaluate import Contestant, chosen_split, contestant, evaluate, faces_at
from train.measure.judge import Answers, agreements, calibration, judge, together, wilson
from train.measure.report import write_report


def voted(votes: list[list[int]]) -> FaceSet:
    count, names = len(votes), (*EXPRESSIONS, "unknown", "NF")
    words, numbers = np.full(count, "test"), np.linspace(0, 1, count).astype(np.float32)
    shelf = Shelf([np.zeros((count, 8, 8, 1), np.uint8)])
    return FaceSet(
        "s", "votes", names, shelf, np.array(votes, np.uint8), words, words, words, numbers, numbers, None, "d"
    )


def sure_of(*classes: int, names: tuple[str, ...] = EXPRESSIONS, by: float = 5.0) -> Answers:
    logits = np.zeros((len(classes), len(names)), np.float32)
    logits[np.arange(len(classes)), classes] = by
    return Answers("net", names, logits)


VOTES = [
    [10, 0, 0, 0, 0, 0, 0, 0, 0, 0],  # neutral
    [0, 9, 0, 0, 0, 0, 0, 0, 0, 1],  # happiness
    [4, 3, 0, 0, 3, 0, 0, 0, 0, 0],  # neutral by argmax, no majority
    [0, 0, 0, 0, 0, 0, 0, 0, 10, 0],  # unknown
]


def test_both_protocols_of_ferplus() -> None:
    judged = judge(sure_of(0, 0, 0, 0), voted(VOTES), np.arange(4))
    majority, argmax = judged["protocols"]["majority"], judged["protocols"]["argmax"]
    assert (majority["faces"], majority["accuracy"]) == (2, 0.5)
    assert (argmax["faces"], argmax["accuracy"]) == (3, pytest.approx(2 / 3))
    assert majority["recall"]["neutral"] == 1.0
    assert majority["recall"]["happiness"] == 0.0
    assert majority["recall"]["fear"] is None
    assert majority["macro_recall"] == 0.5
    assert json.loads(json.dumps(judged, allow_nan=False))


def test_a_net_that_knows_fewer_labels_is_judged_on_those() -> None:
    judged = judge(sure_of(1, 0, 0, 0, names=("happiness", "neutral")), voted(VOTES), np.arange(4))
    assert judged["labels"] == ["happiness", "neutral"]
    assert judged["protocols"]["majority"]["accuracy"] == 1.0


def test_units_with_missing_labels_and_thresholds() -> None:
    count = 4
    words, numbers = np.full(count, "test"), np.zeros(count, np.float32)
    targets = np.array([[3, 0], [0, 255], [2, 0], [255, 5]], np.uint8)
    shelf = Shelf([np.zeros((count, 8, 8, 1), np.uint8)])
    units = FaceSet("u", "intensity", ("AU1", "AU12"), shelf, targets, words, words, words, numbers, numbers, None, "d")
    logits = np.array(
        [[2.0, -3.0], [1.0, 0.0], [-1.0, 1.0], [9.0, 2.0]], np.float32
    )  # chances .88 .73 .27; .05 .73 .88
    answers = Answers("drml", ("AU12", "AU1"), logits[:, ::-1], thresholds=(0.5, 0.8))
    judged = judge(answers, units, np.arange(count))
    # AU1 at 0.8: one hit, none wrong, one missed; AU12 at 0.5: one hit, one wrong
    assert judged["units"]["AU1"]["f1"] == pytest.approx(2 / 3)
    assert judged["units"]["AU12"]["f1"] == pytest.approx(2 / 3)
    assert judged["units"]["AU1"]["auc"] == pytest.approx(0.5)
    assert judged["units"]["AU12"]["labelled"] == 3
    assert judged["mean_f1"] == pytest.approx(2 / 3)


def test_the_mean_of_two_nets_is_the_mean_of_their_chances() -> None:
    one = Answers("a", ("neutral", "anger"), np.log(np.array([[0.9, 0.1]], np.float32)))
    other = Answers("b", ("anger", "neutral"), np.log(np.array([[0.5, 0.5]], np.float32)))
    assert np.exp(together([one, other]).logits) == pytest.approx(np.array([[0.7, 0.3]]), abs=1e-6)
    assert agreements([one, other]) == []  # labels in another order are not compared by place


def test_calibration_in_use_and_after_fitting() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 2000)
    said = np.where(random.random(2000) < 0.8, truth, 1 - truth)  # right in 80 %
    logits = np.zeros((2000, 2), np.float32)
    logits[np.arange(2000), said] = 6.0  # sure by 99.75 %
    numbers = calibration(logits, truth, 1.0)
    assert numbers["ece"] == pytest.approx(0.1975, abs=0.03)
    assert numbers["ece_fitted_on_the_other_half"] < 0.03
    assert numbers["fitted_temperature"] == pytest.approx(6 / np.log(4), rel=0.1)  # 0.8 to 0.2


def test_the_interval_of_a_share() -> None:
    assert wilson(50, 100) == pytest.approx([0.4038, 0.5962], abs=1e-4)
    assert wilson(0, 10) == pytest.approx([0.0, 0.2775], abs=1e-4)


def test_the_split_is_chosen_or_asked_for() -> None:
    faces = voted(VOTES)
    assert chosen_split(faces, "") == "test"
    with pytest.raises(BadRequest, match=r"split 'train' is not there; choose of test"):
        chosen_split(faces, "train")


def test_the_report_is_one_page_without_pictures_unless_they_are_allowed(tmp_path: Path) -> None:
    faces, answers = voted(VOTES * 12), [sure_of(*[0, 0, 0, 0] * 12), sure_of(*[0, 1, 0, 0] * 12)]
    nets = [
        Contestant(f"net<{n}>", EXPRESSIONS, 1.0, (), lambda _f, rows, a=a: a.logits[rows], lambda _t: None)
        for n, a in enumerate(answers)
    ]
    document, said, rows = evaluate(nets, faces)
    page = write_report(tmp_path / "a", document, said, faces, rows, pictures=False).read_text()
    shown = write_report(tmp_path / "b", document, said, faces, rows, pictures=True).read_text()

    assert document["agreement"][0]["agreement"] == pytest.approx(2 / 3)  # «unknown» is not asked
    assert "net&lt;0&gt;" in page
    assert "net<0>" not in page
    assert "<img" not in page
    assert shown.count("data:image/jpeg;base64,") == 12  # one wrong happiness in each of twelve
    assert "http" not in page.replace("http-equiv", "")
    for word in ("Confusion", "How sure, how right", "By size of the face", "Agreement", "50.00 %"):
        assert word in page, word


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    from models.nets import build

    torch.manual_seed(0)
    options = {"edge": 16, "classes": 2, "stem_units": (1, 1, 1), "width": 16, "depth": 1, "heads": 2, "head": "random"}
    note = WeightsNote(
        name="mini",
        net="transfer",
        options=options,
        task="expressions",
        labels=EXPRESSIONS[:2],
        edge=16,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        grey=True,
        centre=1.0,
        data="patterns",
        data_sha256="d",
        faces=72,
        epoch=3,
    )
    write_weights(tmp_path / "weights.safetensors", entries_of(build("transfer", **options)), note)
    return tmp_path / "weights.safetensors"


def test_weights_answer_as_their_net_and_keep_a_temperature(weights: Path, patterns: Path) -> None:
    faces = open_set(patterns)
    net, note = read_weights(weights)
    rows = faces.rows(["validation"])
    pictures = torch.from_numpy(faces.pictures.take(rows)).permute(0, 3, 1, 2).expand(-1, 3, -1, -1) / 255
    with torch.no_grad():
        wanted = net((pictures - 0.5) / 0.25).numpy()
    one = contestant(str(weights))
    assert one.ask(faces, rows) == pytest.approx(wanted, abs=1e-4)

    one.calibrate(1.7)

    again, kept = read_weights(weights)
    assert dataclasses.replace(note, temperature=1.7) == kept
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in net.state_dict().items())


def test_weights_of_another_net_are_refused(weights: Path, tmp_path: Path) -> None:
    _, note = read_weights(weights)
    entries, _ = read_tensors(weights)
    write_weights(
        tmp_path / "x.safetensors", entries, dataclasses.replace(note, net="fcanet18", options={"classes": 2})
    )
    with pytest.raises(WeightsDoNotFit, match=r"x\.safetensors: conv1\.weight .* is missing"):
        read_weights(tmp_path / "x.safetensors")


def test_what_is_no_net_is_refused(patterns: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNet, match=r"no net of the zoo \(.*expressions"):
        contestant("expresions")
    (tmp_path / "y.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(WeightsDoNotFit, match="no readable safetensors"):
        contestant(str(tmp_path / "y.safetensors"))
    with pytest.raises(BadRequest, match="centerface: a net for face_detection"):
        contestant("centerface")
    stranger = Contestant("drml", ACTION_UNITS, 1.0, (), lambda _f, rows: np.zeros((len(rows), 12)), lambda _t: None)
    with pytest.raises(BadRequest, match="drml answers AU1"):
        evaluate([stranger], open_set(patterns))


def test_a_place_without_faces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="no known layout"), faces_at(tmp_path / "nothing"):
        pass


def test_the_shipped_net_reads_faces_as_its_card_says(shared_data: Path, tmp_path: Path) -> None:
    """400 faces of the validation split: the standard error is 1.6 %, so 5 % is three of them."""
    with np.load(shared_data / "ferplus" / "validation.npz", allow_pickle=False) as fields:
        some = {name: fields[name][:400] for name in ("images", "votes", "fer_row", "usage")}
    np.savez(tmp_path / "some.npz", **some)
    with faces_at(tmp_path / "some.npz") as faces:
        document, _, _ = evaluate([contestant("expressions.int8")], faces)
    judged = document["nets"][0]["protocols"]["majority"]
    assert judged["accuracy"] == pytest.approx(0.887, abs=0.05)
    assert document["split"] == "validation"
