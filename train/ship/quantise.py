"""Static int8: u8 activations, s8 weights per channel, calibrated on real crops.

Why so: dynamic int8 and signed activations gain nothing for convolutions on a CPU (measured: 13.7–17 ms against 4.9 ms
per ResNet-18 at 224).
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from contract.errors import BadModel
from train.ship.export import logits_of

QUANTISED = ["Conv", "Gemm", "MatMul", "Add", "MaxPool", "GlobalAveragePool", "ReduceMean", "Relu"]
WEIGHTED = ["Conv", "Gemm"]  # where attention and layer norms lie between, only these carry eight bits well
AGREEMENT = 0.995  # share of decisions that must stay
PERCENTILE = 99.999
BATCH = 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to choose ranges and what stays in fp32; the cheapest at run time comes first."""

    name: str
    method: CalibrationMethod = CalibrationMethod.Percentile
    in_fp32: tuple[int, ...] = ()  # which of `ends`: 0 the first convolution, 1 the last product
    operators: Sequence[str] = tuple(QUANTISED)


LAST, ENDS = (1,), (0, 1)
ATTEMPTS = (
    Attempt("ranges by minimum and maximum", CalibrationMethod.MinMax),
    Attempt(f"ranges by {PERCENTILE} percentile"),
    Attempt(f"ranges by {PERCENTILE} percentile, last layer in fp32", in_fp32=LAST),
    Attempt(f"ranges by {PERCENTILE} percentile, first and last layer in fp32", in_fp32=ENDS),
    Attempt("only convolutions and dense layers, ends in fp32", in_fp32=ENDS, operators=WEIGHTED),
)


@dataclass(frozen=True, slots=True)
class Quantised:
    """An int8 model, how it was made, and how it decides on crops that it was not calibrated on."""

    model: onnx.ModelProto
    attempt: Attempt
    agreement: float  # share of crops with the same decision as before
    largest_difference: float  # of a logit
    tried: tuple[tuple[str, float], ...]  # each attempt's agreement


def calibrate(
    model: onnx.ModelProto,
    crops: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    several: bool = False,
    attempts: Sequence[Attempt] = ATTEMPTS,
    least: float = AGREEMENT,
) -> Quantised:
    """The first attempt that keeps `least` of the decisions on the held-out crops.

    Args:
        model: fp32, takes crops (N, edge, edge, 3) u8.
        crops: real ones to measure ranges on.
        held_out: other real ones to compare decisions on.
        several: are labels independent (action units: a decision is a logit's sign) or exclusive (argmax)?
        attempts: in order.
        least: share of decisions.

    Raises:
        BadModel: none does; the message lists all.
    """
    before = logits_of(model, held_out)
    tried: list[tuple[str, float]] = []
    for attempt in attempts:
        made = quantised_by(model, crops, attempt)
        after = logits_of(made, held_out)
        agreement = agreeing(before, after, several)
        tried.append((attempt.name, agreement))
        if agreement >= least:
            return Quantised(made, attempt, agreement, float(np.abs(before - after).max()), tuple(tried))
    listed = "; ".join(f"{name}: {share:.2%}" for name, share in tried)
    raise BadModel(f"int8 keeps too few of the decisions on {len(held_out)} crops, wanted {least:.1%}: {listed}")


def agreeing(before: NDArray[np.float32], after: NDArray[np.float32], several: bool) -> float:
    """Share of equal decisions."""
    if several:
        return float(((before > 0) == (after > 0)).mean())
    return float((before.argmax(1) == after.argmax(1)).mean())


def quantised_by(model: onnx.ModelProto, crops: NDArray[np.uint8], attempt: Attempt) -> onnx.ModelProto:
    """The model as this attempt makes it."""
    keep = tuple(ends(model)[place] for place in attempt.in_fp32)
    return to_int8(model, crops, keep, attempt.method, attempt.operators)


def ends(model: onnx.ModelProto, first: int = 1) -> tuple[str, ...]:
    """Names of the first node or nodes and of the last node with weights."""
    weighted = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    return (*weighted[:first], weighted[-1])


class _Crops(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, crops: NDArray[np.uint8], batch: int) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(np.array_split(crops, max(1, len(crops) // batch)))
        self._name = name

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        crops = next(self._batches, None)
        return None if crops is None else {self._name: crops}


def to_int8(
    model: onnx.ModelProto,
    crops: NDArray[np.uint8],
    keep: tuple[str, ...] = (),
    method: CalibrationMethod = CalibrationMethod.MinMax,
    operators: Sequence[str] = tuple(QUANTISED),
    symmetric: bool = False,
) -> onnx.ModelProto:
    """The model with quantised convolutions and products.

    Args:
        model: takes «crops» (N, edge, edge, 3) u8.
        crops: real ones to measure the ranges of activations on.
        keep: names of nodes that stay in fp32.
        method: how a range is read off the activations.
        operators: what is quantised.
        symmetric: s8 activations around zero, as TensorRT wants them; else u8, which is three times as fast on a CPU.
    """
    activations = QuantType.QInt8 if symmetric else QuantType.QUInt8
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        plain, prepared, quantised = (str(Path(folder) / name) for name in ("plain.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        quantize_static(
            prepared,
            quantised,
            _Crops(model.graph.input[0].name, crops, BATCH),
            quant_format=QuantFormat.QDQ,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(operators),
            calibrate_method=method,
            nodes_to_exclude=[node.name for node in nodes if node.name in keep],
            extra_options={
                "CalibPercentile": PERCENTILE,
                "ActivationSymmetric": symmetric,
                "QuantizeBias": not symmetric,  # TensorRT takes fp32 biases only
            },
        )
        made: onnx.ModelProto = onnx.load(quantised)
        return made


def to_fp8(symmetric: onnx.ModelProto) -> onnx.ModelProto:
    """An int8 model with symmetric ranges, its eight bits read as e4m3 floats: the same ranges, 448 instead of 127.

    Source: Micikevicius et al., FP8 Formats for Deep Learning (2022): e4m3 for weights and activations.
    """
    made: onnx.ModelProto = onnx.ModelProto.FromString(symmetric.SerializeToString())
    tensors = {tensor.name: tensor for tensor in made.graph.initializer}
    done: set[str] = set()
    for node in made.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        for place, name in enumerate(node.input):
            if name not in tensors or name in done or (place == 0 and node.op_type == "QuantizeLinear"):
                continue
            done.add(name)
            values = numpy_helper.to_array(tensors[name])
            if place == 1:
                narrow = (values * np.float32(127 / 448)).astype(np.float32)
            else:  # weights and zero points
                narrow = (values.astype(np.float32) * np.float32(448 / 127)).astype(ml_dtypes.float8_e4m3fn)
            tensors[name].CopyFrom(numpy_helper.from_array(narrow, name))
    del made.graph.value_info[:]
    return made
