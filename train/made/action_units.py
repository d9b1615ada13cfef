"""The action-unit net becomes a product: judged on real faces that it never saw, exported, with its card.

mien data synthetic-action-units out/units --data SHARED
mien train drml-compact-synthetic --data out/units
python -m train.made.action_units out/train/drml-compact-synthetic/weights.safetensors SHARED out/units
"""

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.errors import BadSource, MienError, SourceNotFound
from contract.labels import ACTION_UNITS, EXPRESSIONS
from contract.model_card import Measurement, ModelCard
from ingest.faces.align import cut
from ingest.faces.detect import STILL_LONG_SIDE, CenterFace
from models.engines.crops import noise
from models.zoo import FOLDER, write_card
from runtime.files import write_whole
from train.data.faceset import FaceSet, open_set
from train.data.ferplus import cut_crops, find_landmarks, majority, read_npz
from train.data.labels import labels_of
from train.learn.augment import Pictures
from train.learn.checkpoint import WeightsNote, read_weights
from train.learn.feed import Feed
from train.metrics import auc, fit_temperature
from train.recipe import Augment, Data
from train.ship.export import TOLERANCE, Normalisation, check, logits_of, serving_graph, store_halved, to_onnx
from train.ship.weights import time_per_crop

VERSION = "synthetic-1"
COMMAND = "python -m train.made.action_units WEIGHTS SHARED SET"
DETECTOR_SIDE = 192  # px: the pictures of FER+ are small

Answers = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Logits (N, 12) of crops (N, edge, edge, 3) u8 RGB."""

CONTRASTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "anger": ("neutral", ("AU4",)),
    "surprise": ("neutral", ("AU1", "AU2", "AU5", "AU26", "AU25")),
    "happiness": ("neutral", ("AU12", "AU6", "AU25")),
    "sadness": ("neutral", ("AU1", "AU4", "AU15")),
}
"""Expressions of FER+ and the units that tell them from another; votes for expressions are no codes of units."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Real faces, with what is known of them."""

    london: NDArray[np.uint8]  # (N, edge, edge, 3)
    smiling: NDArray[np.int64]  # (N,) 0 or 1
    ferplus: NDArray[np.uint8]  # (M, edge, edge, 3)
    expression: NDArray[np.int64]  # (M,) by majority, −1 none


def read_judged(shared: Path, edge: int) -> Judged:
    """The pairs of faces/london and FER+ validation, cut as live faces are.

    Raises:
        BadSource: they are not there.
    """
    crops, smiling = read_pairs(shared / "faces" / "london", edge)
    split = read_npz(shared / "ferplus" / "validation.npz")
    landmarks = find_landmarks(split.images, CenterFace(input_long_side=DETECTOR_SIDE))
    return Judged(crops, smiling, cut_crops(split.images, landmarks, edge), majority(split.votes))


def read_pairs(folder: Path, edge: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Crops (N, edge, edge, 3) of NNN_neutral.jpg and NNN_smiling.jpg, and which smile.

    Raises:
        BadSource: no pairs; a picture without a face.
    """
    paths = sorted(folder.glob("*_neutral.jpg")) + sorted(folder.glob("*_smiling.jpg"))
    if not paths:
        raise SourceNotFound(f"{folder}: no NNN_neutral.jpg and NNN_smiling.jpg")
    detector, crops = CenterFace(input_long_side=STILL_LONG_SIDE), []
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        faces = [] if picture is None else detector(np.asarray(picture, np.uint8))
        if not faces:
            raise BadSource(f"{path}: no picture with a face")
        crops.append(cut(np.asarray(picture, np.uint8), faces[0].landmarks, edge))
    return np.stack(crops), np.array([path.stem.endswith("smiling") for path in paths], np.int64)


def judge(answers: Answers, judged: Judged, command: str = COMMAND) -> list[Measurement]:
    """AUC of AU12 over neutral and smiling people, share of pairs told right, and the contrasts of FER+."""
    smile = ACTION_UNITS.index("AU12")
    scores = answers(judged.london)[:, smile]
    data = f"{len(scores)} portraits of the Face Research Lab London Set, nobody of whom was trained on"
    half = len(scores) // 2
    numbers = [
        Measurement("AUC of AU12, smiling against neutral", auc(scores, judged.smiling), data, command),
        Measurement(
            "pairs in which the smile has more AU12", float((scores[half:] > scores[:half]).mean()), data, command
        ),
    ]
    logits = answers(judged.ferplus)
    for expression, (other, units) in CONTRASTS.items():
        one, two = (judged.expression == EXPRESSIONS.index(name) for name in (expression, other))
        truth = np.where(one, 1, np.where(two, 0, -1))
        data = f"FER+ public test by majority, {one.sum():,} and {two.sum():,} faces"
        if not one.any() or not two.any():
            continue
        for unit in units:
            value = auc(logits[:, ACTION_UNITS.index(unit)], truth)
            numbers.append(Measurement(f"AUC of {unit}, {expression} against {other}", value, data, command))
    return numbers


class BothWays(nn.Module):
    """Mean of the logits of a face and of its mirror image: units are the same in both, mistakes are not.

    Measured: AUC of AU12 on real smiles from 0.961 to 0.971, for twice the time.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, E, E) -> (B, units)."""
        logits: Tensor = (self.net(x) + self.net(x.flip(3))) / 2
        return logits

    def inference(self) -> "BothWays":
        """Without training-only parts."""
        return BothWays(self.net.inference())  # type: ignore[operator]


def temperature_of(net: nn.Module, note: WeightsNote, faces: FaceSet) -> float:
    """What the net's logits are to be divided by, on the validation faces of the set it was trained with."""
    labels, rows = labels_of(faces, "units"), faces.rows(["validation"])
    data = Data(labels="units", mean=note.mean, std=note.std, grey=note.grey)
    pictures, feed = Pictures(note.edge, Augment(), data), Feed(faces, torch.device("cpu"))
    with torch.inference_mode():
        parts = [net(pictures.evaluation(*feed(some))) for some in np.array_split(rows, len(rows) // 64 + 1)]
    return fit_temperature(torch.cat(parts).numpy(), labels.hard[rows])


def product(weights: Path, shared: Path, faces: FaceSet, folder: Path, say: Callable[[str], None] = print) -> ModelCard:
    """Write the net, its weights stored in half precision, and its card; judged as it is written.

    Eight bits keep 99.3 % of the decisions on real faces, less than the 99.5 % that this project asks for.

    Raises:
        MienError: weights, pictures or folder cannot be used; a file that differs from its net.
    """
    plain, note = read_weights(weights)
    net = BothWays(plain).eval()
    note = dataclasses.replace(note, temperature=temperature_of(net, note, faces))
    judged = read_judged(shared, note.edge)
    graph = serving_graph(net, Normalisation(note.mean, note.std, note.grey))
    model = store_halved(to_onnx(graph, note.edge))
    worst = check(model, graph, [noise(note.edge, 4), judged.london[::5]], TOLERANCE["fp16"])
    body = model.SerializeToString()
    bare = card_of(note, hashlib.sha256(body).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / bare.file, body)
    crops = f"{4 + len(judged.london[::5])} crops, random and real"
    numbers = [
        Measurement("largest difference of a logit from torch", worst, crops, COMMAND, "weights stored as float16"),
        *judge(lambda some: logits_of(model, some), judged),
        time_per_crop(bare, folder, noise(note.edge, 8), COMMAND),
    ]
    for number in numbers:
        say(f"{number.name}: {number.value:.4f}")
    card = msgspec.structs.replace(bare, measurements=(*bare.measurements, *numbers))
    write_card(card, folder / f"{card.name}.json")
    return card


def card_of(note: WeightsNote, sha256: str) -> ModelCard:
    """What is known before anything is measured."""
    return ModelCard(
        name="action_units",
        version=VERSION,
        net=note.net,
        file="action_units.onnx",
        sha256=sha256,
        task="action_units",
        labels=note.labels,
        input_edge=note.edge,
        output="logits",
        training_data=f"{note.faces:,} faces drawn from portraits at rest (40 people of the Young Adult White Faces "
        "set, CC BY 4.0, and neutral faces of FER2013) moved by the shapes of ICT-FaceKit (MIT); no face was coded",
        licence="Apache-2.0 for the weights; ICT-FaceKit is MIT, the portraits are CC BY 4.0 (DeBruine & Jones 2017, "
        "doi 10.6084/m9.figshare.4220517.v1), FER+ votes are MIT, FER2013 pictures were collected from the web",
        intended_use="Experimental: showing which parts of a face move, in research and development.",
        limits="Experimental. Trained on drawn faces only; judged on real smiles and, by the votes of FER+, on anger, "
        "surprise and sadness, not on coded action units: chances are not calibrated for real faces. AU1, AU4 and AU15 "
        "are weak; AU9, AU17 and AU20 are judged nowhere. Units are what a face does, not what a person feels. Few "
        "people and few origins: equal accuracy over groups is not established. Not for decisions about people; not "
        "for workplaces or schools.",
        source="mien data synthetic-action-units; mien train drml-compact-synthetic; docs/decisions/0009",
        temperature=round(note.temperature, 4),
        measurements=tuple(
            Measurement(name, value, note.data, "mien train drml-compact-synthetic")
            for name, value in note.measurements.items()
        ),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line; write the zoo's action units."""
    parser = argparse.ArgumentParser(prog="python -m train.made.action_units", description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="weights.safetensors of a run")
    parser.add_argument("shared", type=Path, help="folder with faces/ and ferplus/")
    parser.add_argument("set", type=Path, help="prepared set that the run learnt from")
    parser.add_argument("--out", type=Path, default=FOLDER / "action_units", help="folder of the files")
    options = parser.parse_args(arguments)
    try:
        product(options.weights, options.shared, open_set(options.set), options.out)
    except MienError as error:
        print(f"action_units: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
