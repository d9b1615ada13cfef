"""Static int8: u8 activations, signed weights of seven bits per channel, calibrated on real crops.

Why seven bits: an x86 processor without VNNI adds two products of bytes in 16 bits, and with weights beyond 64 the sum
saturates. Such weights keep the decisions as well as eight bits do and are right and fast on every processor.
Why so otherwise: dynamic int8 and signed activations gain nothing for convolutions on a CPU (measured: 13.7–17 ms
against 4.9 ms per ResNet-18 at 224).
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
REASON_LIMIT = 160  # characters of why an attempt failed


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to choose ranges and what stays in fp32; the cheapest at run time comes first."""

    name: str
    method: CalibrationMethod = CalibrationMethod.Percentile
    in_fp32: tuple[int, ...] = ()  # which of `ends`: 0 the first convolution, 1 the last product
    operators: Sequence[str] = tuple(QUANTISED)
    weight_bits: int = 7  # 8: exact everywhere too, but 1.4 times as slow without VNNI


LAST, ENDS = (1,), (0, 1)
ATTEMPTS = (
    Attempt("ranges by minimum and maximum", CalibrationMethod.MinMax),
    Attempt(f"ranges by {PERCENTILE} percentile"),
    Attempt(f"ranges by {PERCENTILE} percentile, last layer in fp32", in_fp32=LAST),
    Attempt(f"ranges by {PERCENTILE} percentile, first and last layer in fp32", in_fp32=ENDS),
    Attempt("only convolutions and dense layers, ends in fp32", in_fp32=ENDS, operators=WEIGHTED),
    Attempt("weights of eight bits, first and last layer in fp32", in_fp32=ENDS, weight_bits=8),
    Attempt(
        "weights of eight bits, only convolutions and dense layers", in_fp32=ENDS, operators=WEIGHTED, weight_bits=8
    ),
)


@dataclass(frozen=True, slots=True)
class Quantised:
    """An int8 model, how it was made, and how it decides on crops that it was not calibrated on."""

    model: onnx.ModelProto
    attempt: Attempt
    agreement: float  # share of crops with the same decision as before
    largest_difference: float  # of a logit
    tried: tuple[str, ...]  # each attempt with its agreement, or with why it failed


def calibrate(
    model: onnx.ModelProto,
    crops: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    several: bool = False,
    attempts: Sequence[Attempt] = ATTEMPTS,
    least: float = AGREEMENT,
) -> Quantised:
    """Return the first attempt that keeps `least` of the decisions on the held-out crops.

    An attempt that ONNX Runtime cannot make or run has failed, as one that changes decisions has; the next is tried.

    Args:
        model: fp32, takes crops (N, edge, edge, 3) u8.
        crops: (C, edge, edge, 3) real ones to measure ranges on.
        held_out: (H, edge, edge, 3) other real ones to compare decisions on.
        several: labels are independent (action units: a decision is a logit's sign), not exclusive (argmax).
        attempts: in order.
        least: share of decisions.

    Raises:
        BadModel: no attempt keeps as many; the message lists all.
    """
    before = logits_of(model, held_out)
    tried: list[str] = []
    for attempt in attempts:
        try:
            made = quantised_by(model, crops, attempt)
            after = logits_of(made, held_out, weight_bits=attempt.weight_bits)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen unrelated classes
            tried.append(f"{attempt.name}: {_reason(error)}")
            continue
        agreement = agreeing(before, after, several)
        tried.append(f"{attempt.name}: {agreement:.2%}")
        if agreement >= least:
            return Quantised(made, attempt, agreement, float(np.abs(before - after).max()), tuple(tried))
    listed = "; ".join(tried)
    raise BadModel(f"int8 keeps too few of the decisions on {len(held_out)} crops, wanted {least:.1%}: {listed}")


def _reason(error: Exception) -> str:
    """Return an error as one line of at most `REASON_LIMIT` characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:REASON_LIMIT]


def agreeing(before: NDArray[np.float32], after: NDArray[np.float32], several: bool) -> float:
    """Return the share of equal decisions in logits (N, labels) before and after."""
    if several:
        return float(((before > 0) == (after > 0)).mean())
    return float((before.argmax(1) == after.argmax(1)).mean())


def quantised_by(model: onnx.ModelProto, crops: NDArray[np.uint8], attempt: Attempt) -> onnx.ModelProto:
    """The model as this attempt makes it."""
    keep = (*(ends(model)[place] for place in attempt.in_fp32), *products_of_planes(model))
    return to_int8(model, crops, keep, attempt.method, attempt.operators, weight_bits=attempt.weight_bits)


def ends(model: onnx.ModelProto, first: int = 1) -> tuple[str, ...]:
    """Names of the first node or nodes and of the last node with weights."""
    weighted = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    return (*weighted[:first], weighted[-1])


def products_of_planes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of products by constants of more than two axes, such as FcaNet's planes of the DCT.

    ONNX Runtime cannot run them per channel, and several share one constant; they are under 1 % of the work.
    """
    planes = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) > 2}
    return tuple(node.name for node in model.graph.node if node.op_type == "MatMul" and planes & set(node.input))


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
    weight_bits: int = 8,
) -> onnx.ModelProto:
    """Return the model with quantised convolutions and products.

    Args:
        model: takes «crops» (N, edge, edge, 3) u8.
        crops: real ones to measure the ranges of activations on.
        keep: names of nodes that stay in fp32.
        method: how a range is read off the activations.
        operators: what is quantised.
        symmetric: s8 activations around zero, as TensorRT wants them; else u8, which is three times as fast on a CPU.
        weight_bits: 7 or 8.
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
            reduce_range=weight_bits == 7,
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
