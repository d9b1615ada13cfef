"""Trained weights become files that run without torch: ONNX with a card, and int8 where real faces are at hand.

The card carries what was measured on the written file, not on the net that it was made from.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.errors import BadModel
from contract.model_card import Measurement, ModelCard, weights_of
from models.engines.crops import noise
from models.engines.onnx import open_session
from models.zoo import write_card
from runtime.files import write_whole
from train.data.faceset import FaceSet
from train.learn.checkpoint import WeightsNote, read_weights
from train.measure.evaluate import chosen_split, contestant, crops, evaluate
from train.ship.build import Crops, calibrated
from train.ship.export import TOLERANCE, Normalisation, check, serving_graph, store_halved, to_onnx

CALIBRATION_CROPS = 1024
ROUNDS, WARM_UP = 300, 30
COMMON_LIMITS = (
    "Where pictures carry no record of age, sex or origin, equal accuracy over groups is not established. Not for "
    "decisions about people; not for workplaces or schools."
)
LIMITS = {
    "expressions": "Expressions are what a face shows, not what a person feels. Contempt, disgust and fear are rare in "
    f"the data that such nets learn from, and weak. {COMMON_LIMITS}",
    "action_units": f"Units are what a face does, not what a person feels. {COMMON_LIMITS}",
}
INTENDED_USE = {
    "expressions": "Telling expressions of aligned, mostly frontal faces in research and development.",
    "action_units": "Telling which parts of an aligned, mostly frontal face move, in research and development.",
}
LICENCE = "Apache-2.0 for the weights; the terms of the data they learnt from stay"

Say = Callable[[str], None]


def ship(
    weights: Path, folder: Path, name: str, faces: FaceSet | None, command: str, source: str = "", say: Say = print
) -> ModelCard:
    """Write NAME.onnx with its card and, with faces, NAME.int8.onnx with its own; the card of the first.

    Args:
        weights: `weights.safetensors` of a run, or the run's folder.
        folder: where the files go; each is whole or not there, the cards last.
        name: of the net; the weights' own where empty.
        faces: a set with a split to learn ranges from («train») and one to judge on; None: nothing is measured.
        command: what the user typed, for the cards.
        source: where the weights come from, for the cards; what the weights say of themselves where empty.
        say: told a line per file and per number.

    Raises:
        MienError: no weights, no faces; a file that differs from its net.
    """
    weights = weights / "weights.safetensors" if weights.is_dir() else weights
    net, note = read_weights(weights)
    graph = serving_graph(net, Normalisation(note.mean, note.std, note.grey))
    model, trial = to_onnx(graph, note.edge), noise(note.edge, 4)
    check(model, graph, [trial], TOLERANCE["fp32"])
    stored = store_halved(model)
    worst = check(stored, graph, [trial], TOLERANCE["fp16"])
    body = stored.SerializeToString()
    card = card_of(note, name or note.name, hashlib.sha256(body).hexdigest())
    difference = Measurement("largest difference of a logit from torch", worst, "4 crops", command, "stored as fp16")
    card = msgspec.structs.replace(card, measurements=(difference,), source=source or card.source)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / card.file, body)
    written = [card]
    write_card(card, folder / f"{card.name}.json")
    if faces is not None:
        try:
            written.append(calibrated(card, folder, folder, real_crops(faces, note.edge), command))
        except BadModel as error:
            say(f"no int8: {error}")
        written = [measured(each, folder, faces, command) for each in written]
    for each in written:
        say(f"{folder / each.file}: {(folder / each.file).stat().st_size / 1e6:.1f} MB")
        for one in each.measurements:
            say(f"  {one.name}: {one.value:.5g}{f' ({one.note})' if one.note else ''}")
    return written[0]


def real_crops(faces: FaceSet, edge: int) -> Crops:
    """Crops of training faces to learn ranges from, and all of the judging split to compare decisions on."""
    training, judging = faces.rows(["train"]), faces.rows([split := chosen_split(faces, "")])
    some = np.random.default_rng(0).choice(training, min(CALIBRATION_CROPS, len(training)), replace=False)
    return Crops(crops(faces, np.sort(some), edge), crops(faces, judging, edge), f"{faces.name}, {split}")


def measured(card: ModelCard, folder: Path, faces: FaceSet, command: str) -> ModelCard:
    """The card with what its file is worth on the judging split, and its time; written."""
    path = folder / f"{card.name}.json"
    document, _, rows = evaluate([contestant(str(path))], faces)
    data, judged = f"{document['data']}, {document['split']}", document["nets"][0]
    numbers = [Measurement(name, value, data, command) for name, value in _worth(judged).items() if value is not None]
    numbers.append(time_per_crop(card, folder, crops(faces, rows[:8], card.input_edge), command))
    card = msgspec.structs.replace(card, measurements=(*card.measurements, *numbers))
    write_card(card, path)
    return card


def _worth(judged: dict[str, Any]) -> dict[str, float | None]:
    """The numbers of an evaluation that a card carries; None: nothing to measure it on."""
    error = judged["calibration"]
    if "units" in judged:
        by_unit = {f"AUC of {name}": each["auc"] for name, each in judged["units"].items()}
        means = {"mean F1": judged["mean_f1"], "mean AUC": judged["mean_auc"]}
        return {**means, **by_unit, "expected calibration error": error["ece"]}
    protocols = judged["protocols"]
    return {
        **{f"accuracy, {name} of {each['faces']:,} faces": each["accuracy"] for name, each in protocols.items()},
        "macro recall": next(iter(protocols.values()))["macro_recall"],
        "expected calibration error": error["ece"],
        "expected calibration error, temperature of the other half": error["ece_fitted_on_the_other_half"],
    }


def time_per_crop(card: ModelCard, folder: Path, some: NDArray[np.uint8], command: str) -> Measurement:
    """Milliseconds of one core per crop: CPU time, so that other work on the machine counts little."""
    session = open_session(weights_of(card, folder), 1, card.name, card.weight_bits)
    name, times = session.get_inputs()[0].name, []
    for _ in range(ROUNDS):
        begun = time.process_time()
        session.run(None, {name: some})
        times.append((time.process_time() - begun) / len(some))
    value = 1000 * float(np.median(times[WARM_UP:]))
    return Measurement("ms per crop on one core", value, f"batches of {len(some)}", command)


def card_of(note: WeightsNote, name: str, sha256: str) -> ModelCard:
    """What is known before anything is measured on the file."""
    return ModelCard(
        name=name,
        version=f"{note.name}-{note.epoch}",
        net=note.net,
        file=f"{name}.onnx",
        sha256=sha256,
        task=note.task,
        labels=note.labels,
        input_edge=note.edge,
        output="logits",
        training_data=f"{note.data}, {note.faces:,} faces",
        licence=LICENCE,
        intended_use=INTENDED_USE[note.task],
        limits=LIMITS[note.task],
        source=f"mien train {note.name}" + (f": {note.trained}" if note.trained else ""),
        temperature=round(note.temperature, 4),
    )
