"""A net leaves as files: luminance, normalisation and net in one graph that takes u8 crops.

It is written as ONNX and as an exported torch program, each compared with torch before it is written.
"""

import contextlib
import copy
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.errors import BadModel
from contract.model_card import Measurement, ModelCard
from models.engines.choose import program_card
from models.engines.onnx import EXACT_INT8, SATURATING_BITS
from models.engines.torch import open_program
from models.zoo import write_card
from runtime.files import write_whole

OPSET = 20
MOST = 4096  # crops per batch; a bound makes the exporter's shape reasoning simpler
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as every JPEG and cv2.cvtColor
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2}
"""Largest difference of a logit that a file of this precision may have."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a net expects of its input: values 0..1, minus `mean`, over `std`, per channel in RGB order."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    grey: bool = False  # the net was trained on grey pictures: all three channels see luminance


class ServingGraph(nn.Module):
    """A net behind luminance and normalisation: u8 crops in, logits out.

    The net takes (N, 3, H, W) float32, or (N, 1, H, W) where `one_channel` says so: three alike would cost three times.
    """

    mean: Tensor
    std: Tensor
    luminance: Tensor

    def __init__(self, net: nn.Module, normalisation: Normalisation, one_channel: bool = False) -> None:
        super().__init__()
        self.net, self.grey, self.channels = net, normalisation.grey, 1 if one_channel else 3
        self.register_buffer("mean", 255 * torch.tensor(normalisation.mean[: self.channels]).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(normalisation.std[: self.channels]).view(1, -1, 1, 1))
        self.register_buffer("luminance", torch.tensor(LUMINANCE).view(3, 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Logits (N, labels) of crops (N, H, W, 3) u8 RGB."""
        # Cast before anything else: TensorRT lets a u8 input feed nothing but a cast.
        pictures = crops.to(self.mean.dtype)
        if self.grey:
            # One matrix product instead of a transposed picture times three weights, summed: a fifth of the time.
            pictures = (pictures @ self.luminance).permute(0, 3, 1, 2).expand(-1, self.channels, -1, -1)
        else:
            pictures = pictures.permute(0, 3, 1, 2)  # (N, 3, H, W)
        logits: Tensor = self.net((pictures - self.mean) / self.std)
        return logits


def serving_graph(net: nn.Module, normalisation: Normalisation) -> ServingGraph:
    """The net without its training-only parts, behind luminance and normalisation, in eval mode."""
    inference = getattr(net, "inference", None)
    net = inference() if inference else net
    alike = len({*normalisation.mean}) == len({*normalisation.std}) == 1
    if normalisation.grey and alike and (narrow := of_one_channel(net)) is not None:
        return ServingGraph(narrow, normalisation, one_channel=True).eval()
    return ServingGraph(net, normalisation).eval()


def of_one_channel(net: nn.Module) -> nn.Module | None:
    """A copy of the net that takes one channel and answers as the net does to three alike; None: it cannot.

    A convolution is linear in its channels: over three equal ones it is the convolution by the sum of their weights,
    at the zero border too.
    """
    narrow = copy.deepcopy(net)
    first = next((layer for layer in narrow.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or first.groups != 1:
        return None
    first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
    first.in_channels = 1
    return narrow


def export(
    graph: ServingGraph,
    card: ModelCard,
    folder: Path,
    batches: Sequence[NDArray[np.uint8]],
    command: str,
    program_too: bool = True,
) -> ModelCard:
    """Write the ONNX file, the torch program and a card for each; the ONNX file's card, with hash and measurements.

    Args:
        graph: of `serving_graph`.
        card: `file` is the name of the ONNX file, `sha256` is filled in here, `precision` is fp32.
        folder: where all four files go, each whole or not at all, the cards last.
        batches: crops to compare on; random ones and real ones.
        command: what the user typed, for the card.
        program_too: write the torch program? TensorRT needs none.

    Raises:
        BadModel: a file would differ from torch by more than `TOLERANCE`; then nothing is written.
    """
    program = trace(graph, card.input_edge)
    model = onnx_of(program, card.output)
    files = [(card.file, model.SerializeToString(), check(model, graph, batches, TOLERANCE["fp32"]))]
    if program_too:
        archive = archive_of(program)
        files.append((f"{Path(card.file).stem}.pt2", archive, check_program(archive, graph, batches)))
    cards = []
    for name, body, worst in files:
        data = f"{sum(map(len, batches))} crops, random and real"
        number = Measurement("largest difference of a logit from torch", worst, data, command)
        digest = hashlib.sha256(body).hexdigest()
        measured = (*card.measurements, number)
        cards.append(msgspec.structs.replace(card, file=name, sha256=digest, measurements=measured))
        write_whole(folder / name, body)
    for described, path in zip(
        cards, ((folder / card.file).with_suffix(".json"), program_card(card, folder)), strict=False
    ):
        write_card(described, path)
    return cards[0]


def trace(graph: ServingGraph, edge: int) -> torch.export.ExportedProgram:
    """The graph as a program over «crops» (batch, edge, edge, 3) u8 with dynamic batch."""
    crops = torch.zeros(2, edge, edge, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=MOST)
    with _quietly():
        return torch.export.export(graph.eval(), (crops,), dynamic_shapes={"crops": {0: batch}})


def archive_of(program: torch.export.ExportedProgram) -> bytes:
    """The program as a .pt2 archive without sample inputs, which torch would store as a pickle."""
    buffer = io.BytesIO()
    program._example_inputs = None
    with _quietly():
        torch.export.save(program, buffer)
    return buffer.getvalue()


def to_onnx(graph: ServingGraph, edge: int, output: str = "logits") -> onnx.ModelProto:
    """The graph as ONNX: input «crops» (batch, edge, edge, 3) u8, dynamic batch."""
    return onnx_of(trace(graph, edge), output)


def onnx_of(program: torch.export.ExportedProgram, output: str = "logits") -> onnx.ModelProto:
    """The program as ONNX, checked against the standard."""
    with _quietly():
        converted = torch.onnx.export(
            program, (), dynamo=True, opset_version=OPSET, verbose=False, input_names=["crops"], output_names=[output]
        )
        assert converted is not None
        model: onnx.ModelProto = onnx.ModelProto.FromString(converted.model_proto.SerializeToString())
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces with the paths of this machine
        node.doc_string = ""
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's notes to its own developers."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")  # «torchvision is not installed»
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        log.setLevel(level)


def logits_of(
    model: onnx.ModelProto,
    crops: NDArray[np.uint8],
    batch: int = 32,
    literally: bool = False,
    weight_bits: int = SATURATING_BITS,
) -> NDArray[np.float32]:
    """Return the model's first output on the CPU, (N, labels), for crops (N, edge, edge, 3).

    Runs as a worker does with weights of so many bits (`models.engines.onnx`). `literally` runs node by node, without
    ONNX Runtime's rewriting: it gets eight bits between fp16 wrong (seen with 1.31: logits off by 0.75 on average,
    0.03 without) and fails on fp8.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if weight_bits >= SATURATING_BITS:
        options.add_session_config_entry(*EXACT_INT8)
    if literally:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: crops[at : at + batch]})[0] for at in range(0, len(crops), batch)]
    return np.concatenate(parts)


def largest_difference(model: onnx.ModelProto, graph: ServingGraph, crops: NDArray[np.uint8]) -> float:
    """Largest absolute difference of the logits of ONNX Runtime and torch on these crops; infinite where one is NaN."""
    with torch.inference_mode():
        wanted = graph.eval()(torch.from_numpy(crops)).numpy()
    return _largest(logits_of(model, crops), wanted)


def check(model: onnx.ModelProto, graph: ServingGraph, batches: Sequence[NDArray[np.uint8]], tolerance: float) -> float:
    """The largest difference from torch over all batches.

    Raises:
        BadModel: it exceeds the tolerance; nothing should be written then.
    """
    return _within(max(largest_difference(model, graph, crops) for crops in batches), tolerance, "ONNX graph")


def check_program(archive: bytes, graph: ServingGraph, batches: Sequence[NDArray[np.uint8]]) -> float:
    """The largest difference of the archived program from torch over all batches, read back as it will be run.

    Raises:
        BadModel: it exceeds the fp32 tolerance.
    """
    run = open_program(archive, "exported program").module()
    with torch.inference_mode():
        pairs = [(run(torch.from_numpy(crops)), graph.eval()(torch.from_numpy(crops))) for crops in batches]
    return _within(max(_largest(seen.numpy(), wanted.numpy()) for seen, wanted in pairs), TOLERANCE["fp32"], "program")


def _largest(seen: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    difference = float(np.abs(seen - wanted).max())
    return difference if np.isfinite(difference) else float("inf")


def _within(worst: float, tolerance: float, what: str) -> float:
    if not worst <= tolerance:
        raise BadModel(f"the exported {what} differs by {worst:.2e} in a logit, wanted at most {tolerance:.0e}")
    return worst


def store_halved(model: onnx.ModelProto, at_least: int = 256) -> onnx.ModelProto:
    """The same graph, its large weights stored as float16 and cast back on loading: half the file, fp32 arithmetic."""
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for index, tensor in enumerate(halved.graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < at_least:
            continue
        name = tensor.name
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        halved.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.f16"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.f16"], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    return halved


def store_whole(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with weights that were stored as float16 widened again: what converters and TensorRT read best."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    at = {tensor.name: index for index, tensor in enumerate(whole.graph.initializer)}
    for node in list(whole.graph.node):
        if node.op_type == "Cast" and node.input[0] in at and node.attribute[0].i == onnx.TensorProto.FLOAT:
            tensor = whole.graph.initializer[at[node.input[0]]]
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float32), node.output[0])
            )
            whole.graph.node.remove(node)
    return whole
