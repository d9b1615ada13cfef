"""A net or a card becomes the file that an engine is built from, in the precision asked for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod

from contract.errors import BadModel, BadRequest
from contract.labels import ACTION_UNITS, EXPRESSIONS
from contract.model_card import Measurement, ModelCard, weights_of
from models.engines.crops import noise
from models.nets import build, entry, options
from models.nets.reference_weights import load_reference_weights
from models.zoo import write_card
from runtime.files import write_whole
from train.learn.checkpoint import WEIGHTS
from train.learn.tensors import read_tensors
from train.ship.export import TOLERANCE, Normalisation, export, logits_of, serving_graph, store_whole
from train.ship.half import to_half
from train.ship.quantise import AGREEMENT, WEIGHTED, agreeing, calibrate, ends, to_fp8, to_int8

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PUBLISHED = {
    "dacl": (112, Normalisation((0.5752, 0.4495, 0.4012), (0.2086, 0.1911, 0.1827))),  # RAF-DB; published at 224
    "transfer": (112, Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
    "drml": (170, Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))),
}
"""Input edge that is served and normalisation of each recipe; FcaNet: 112 and ImageNet's."""

LEAST_CROPS = 32
KEPT_IN_HALF = (1, 4)  # of TensorRT's eight bits: how many first products stay in fp16, beside the last; in turn
MOST_CALIBRATION = 1024  # crops; more do not change a range. At most half of all: decisions are compared on the rest


@dataclass(frozen=True, slots=True)
class Crops:
    """Real crops: some to calibrate on, others to compare on."""

    calibration: NDArray[np.uint8]  # (N, edge, edge, 3)
    held_out: NDArray[np.uint8]
    source: str


def split_crops(crops: NDArray[np.uint8], source: str) -> Crops:
    """The crops in two parts.

    Raises:
        BadRequest: fewer than `LEAST_CROPS`.
    """
    if len(crops) < LEAST_CROPS:
        raise BadRequest(f"{source}: {len(crops)} crops, wanted at least {LEAST_CROPS} to calibrate and compare")
    first = min(len(crops) // 2, MOST_CALIBRATION)
    return Crops(crops[:first], crops[first:], source)


def export_net(
    name: str,
    folder: Path,
    weights: Path | None = None,
    real: NDArray[np.uint8] | None = None,
    edge: int | None = None,
    command: str = "mien engine export",
    program_too: bool = True,
) -> ModelCard:
    """Write a net of the registry as ONNX, torch program and cards; random weights where none are given.

    Args:
        name: of `models.nets.names()`.
        folder: where the files go.
        weights: a checkpoint that `load_reference_weights` reads.
        real: crops to compare on, beside random ones.
        edge: of the input, px; by default the one that is served.
        command: for the card.
        program_too: write the torch program as well?

    Raises:
        BadModel: unknown net, foreign weights, or a file that differs from torch.
        BadRequest: weights of `mien train`, whose note says more than is asked here.
    """
    if weights is not None and _are_ours(weights):
        raise BadRequest(f"{weights}: weights of `mien train`; `mien export {weights}` knows their input and labels")
    known = entry(name)
    usual, normalisation = PUBLISHED.get(name, (112, IMAGENET))
    edge = edge or usual
    labels = ACTION_UNITS if known.task == "action_units" else EXPRESSIONS
    variant = {known.outputs: len(labels)} | ({"edge": edge} if "edge" in options(name) else {})
    torch.manual_seed(0)
    net = build(name, **variant)
    if weights is not None:
        load_reference_weights(net, weights)
    card = ModelCard(
        name=name,
        version="random" if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest()[:12],
        net=name,
        file=f"{name}.onnx",
        sha256="",
        task=known.task,
        labels=labels,
        input_edge=edge,
        output="logits",
        training_data="none: random weights" if weights is None else f"see {weights.name}",
        licence="Apache-2.0" if weights is None else f"that of {weights.name}",
        intended_use="measuring speed and building engines" if weights is None else "see its weights",
        limits="says nothing about faces" if weights is None else "see its weights",
        source=known.paper,
    )
    batches = [noise(edge, 4)] if real is None else [noise(edge, 4), real]
    return export(serving_graph(net.eval(), normalisation), card, folder, batches, command, program_too)


def _are_ours(weights: Path) -> bool:
    return weights.suffix == ".safetensors" and read_tensors(weights)[1].get("schema") == WEIGHTS


def in_precision(card: ModelCard, folder: Path, precision: str, out: Path, crops: Crops | None) -> ModelCard:
    """The card of the same net for a TensorRT plan of this precision, its ONNX written to `out`.

    fp16: half precision, checked to 1e-2 of a logit. int8 and fp8: quantised weights and activations of convolutions
    and dense layers, symmetric as TensorRT wants them, the rest in fp16; checked to keep 99.5 % of the decisions.

    Args:
        card: of an fp32 ONNX file.
        folder: of the card.
        precision: fp16, int8 or fp8.
        out: where the file and its card go.
        crops: real ones; int8 and fp8 need them.

    Raises:
        BadRequest: no fp32 card, or no crops.
        BadModel: the file would miss its tolerance; nothing is written.
    """
    if card.precision != "fp32":
        raise BadRequest(f"{card.name} is {card.precision}; other precisions are made from the fp32 card")
    model = store_whole(onnx.load_from_string(weights_of(card, folder)))
    batches = noise(card.input_edge, 4)
    if precision == "fp16":
        if crops is not None:
            batches = np.concatenate([batches, crops.held_out[:32]])
        made = to_half(model)
        worst = float(np.abs(logits_of(made, batches) - logits_of(model, batches)).max())
        if not worst <= TOLERANCE["fp16"]:
            raise BadModel(f"{card.name}: fp16 moves a logit by {worst:.2e}, wanted at most {TOLERANCE['fp16']:.0e}")
        number = Measurement("largest difference of a logit from fp32", worst, f"{len(batches)} crops", _COMMAND)
        return _write(made, card, "fp16", out, (number,))
    if crops is None:
        raise BadRequest(f"{precision} needs real crops to measure ranges on: --data FOLDER_OR_NPZ")
    several, before = card.task == "action_units", logits_of(model, crops.held_out)
    for first in KEPT_IN_HALF:
        kept = ends(model, first)
        eight = to_int8(model, crops.calibration, kept, CalibrationMethod.Percentile, WEIGHTED, True)
        made = to_half(to_fp8(eight) if precision == "fp8" else eight)
        share = agreeing(before, logits_of(made, crops.held_out, literally=True), several)
        if share >= AGREEMENT:
            data = f"{len(crops.held_out)} crops of {crops.source}"
            number = Measurement("equal decisions with fp32", share, data, _COMMAND, f"{len(kept)} products in fp16")
            return _write(made, card, precision, out, (number,))
    raise BadModel(f"{card.name}: {precision} keeps {share:.2%} of the decisions, wanted {AGREEMENT:.1%}; use fp16")


def calibrated(card: ModelCard, folder: Path, out: Path, crops: Crops, command: str) -> ModelCard:
    """The card of the same net in int8 for ONNX Runtime, with its decisions and logits before and after.

    Raises:
        BadRequest: the card is not fp32.
        BadModel: no way of quantising keeps 99.5 % of the decisions; nothing is written.
    """
    if card.precision != "fp32":
        raise BadRequest(f"{card.name} is {card.precision}; int8 is made from the fp32 card")
    model = store_whole(onnx.load_from_string(weights_of(card, folder)))
    made = calibrate(model, crops.calibration, crops.held_out, card.task == "action_units")
    data = f"{len(crops.held_out)} crops of {crops.source}, not calibrated on"
    numbers = (
        Measurement("equal decisions with fp32", made.agreement, data, command, made.attempt.name),
        Measurement("largest difference of a logit from fp32", made.largest_difference, data, command),
        Measurement("bytes per byte of fp32", made.model.ByteSize() / model.ByteSize(), card.file, command),
    )
    card = msgspec.structs.replace(card, weight_bits=made.attempt.weight_bits)
    return _write(made.model, card, "int8", out, numbers)


_COMMAND = "mien engine build"


def _write(
    model: onnx.ModelProto, card: ModelCard, precision: str, out: Path, measured: tuple[Measurement, ...]
) -> ModelCard:
    """Write the model and its card, whole or not at all; the card."""
    name = card.name if precision == "fp32" else f"{card.name}.{precision}"
    body = model.SerializeToString()
    path = out / f"{name}.onnx"
    made = msgspec.structs.replace(
        card,
        name=name,
        file=path.name,
        sha256=hashlib.sha256(body).hexdigest(),
        precision=precision,
        measurements=(*card.measurements, *measured),
    )
    write_whole(path, body)
    write_card(made, path.with_suffix(".json"))
    return made
