"""The first weights become files of the zoo: `python -m train.bootstrap WEIGHTS.safetensors --data FOLDER`.

They are a plain ResNet-18 trained elsewhere on FER+; the project's own training replaces them. The temperature of
the cards is fitted afterwards: `mien evaluate expressions.int8 --data validation.npz --calibrate`.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from safetensors.torch import load_file

from contract.labels import EXPRESSIONS
from contract.model_card import Measurement, ModelCard, write_card
from ingest.faces.detect import CenterFace
from models.nets.dacl import ResNet18
from models.zoo import FOLDER
from train.build import Crops, calibrated
from train.data.ferplus import FerPlus, cut_crops, find_landmarks, majority, read_npz
from train.export import Normalisation, ServingGraph, check, logits_of, serving_graph, store_halved, to_onnx

EDGE = 112
NORMALISATION = Normalisation(mean=(0.508,) * 3, std=(0.255,) * 3, grey=True)  # of the weights' own note
CALIBRATION_CROPS = 1024
COMMAND = "python -m train.bootstrap"


def main() -> None:
    """Export, measure, quantise, measure again; the cards are written last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="safetensors in torchvision's naming")
    parser.add_argument("--data", type=Path, required=True, help="folder with ferplus/*.npz")
    options = parser.parse_args()
    folder = FOLDER / "expressions"
    folder.mkdir(exist_ok=True)

    detector = CenterFace(input_long_side=192)
    training = read_npz(options.data / "ferplus" / "train_a.npz")
    some = np.random.default_rng(0).choice(len(training), CALIBRATION_CROPS, replace=False)
    validation = read_npz(options.data / "ferplus" / "validation.npz")
    crops = crops_of(validation.images, detector)
    calibration = Crops(crops_of(training.images[some], detector), crops, "FER+ public test")

    graph = load(options.weights)
    model = to_onnx(graph, EDGE)
    worst = check(model, graph, [calibration.calibration[:8], crops[:8]], tolerance=1e-4)
    print(f"ONNX against torch: {worst:.1e}")
    full = write(
        folder, store_halved(model), share("validation majority accuracy, fp32", accuracy(model, crops, validation))
    )
    small = calibrated(full, folder, folder, calibration, COMMAND)
    quantised = onnx.load(folder / small.file)
    number = share("validation majority accuracy, int8", accuracy(quantised, crops, validation))
    write_card(replace(small, measurements=(*small.measurements, number)), folder / f"{small.name}.json")


def crops_of(images: NDArray[np.uint8], detector: CenterFace) -> NDArray[np.uint8]:
    """(N, 112, 112, 3) crops of 48-px pictures, in the geometry of live ones."""
    return cut_crops(images, find_landmarks(images, detector), EDGE)


def load(weights: Path) -> ServingGraph:
    """The net with these weights behind its luminance and normalisation."""
    net = ResNet18(classes=len(EXPRESSIONS))
    entries = {
        name: entry.float() if entry.is_floating_point() else entry for name, entry in load_file(weights).items()
    }
    net.load_state_dict(entries)
    return serving_graph(net, NORMALISATION)


def accuracy(model: onnx.ModelProto, crops: NDArray[np.uint8], split: FerPlus) -> float:
    """Share of the faces with a majority whose label has the highest logit."""
    labels = majority(split.votes)
    return float((logits_of(model, crops).argmax(1) == labels)[labels >= 0].mean())


def share(name: str, value: float) -> Measurement:
    """A share measured on the validation split, printed and kept."""
    print(f"{name}: {value:.2%}")
    return Measurement(name=name, value=round(value, 5), data="FER+ public test, 3,199 faces", command=COMMAND)


def write(folder: Path, model: onnx.ModelProto, number: Measurement) -> ModelCard:
    """The fp32 model and its card."""
    body = model.SerializeToString()
    (folder / "expressions.onnx").write_bytes(body)
    card = ModelCard(
        name="expressions",
        version="bootstrap-3",
        net="resnet18",
        file="expressions.onnx",
        sha256=hashlib.sha256(body).hexdigest(),
        task="expressions",
        labels=EXPRESSIONS,
        input_edge=EDGE,
        output="logits",
        training_data="FER+ (27,698 faces of FER2013 with the votes of ten taggers; copies of test pictures left out)",
        licence="Apache-2.0 for the weights; FER+ votes are MIT, FER2013 pictures were collected from the web",
        intended_use="Telling the eight FER+ expressions of aligned, mostly frontal faces in research and development.",
        limits="Expressions are what a face shows, not what a person feels. Contempt, disgust and fear are rare in the "
        "training data and weak. The pictures carry no record of age, sex or origin, so equal accuracy over groups is "
        "not established. Not for decisions about people; not for workplaces or schools.",
        source="a starting set of weights, ResNet-18 trained from scratch; replaced by the project's own training",
        measurements=(number,),
    )
    write_card(card, folder / "expressions.json")
    print(f"{folder / card.file}: {len(body) / 1e6:.1f} MB")
    return card


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
