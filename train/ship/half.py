"""fp32 ONNX → fp16 ONNX: TensorRT builds strongly typed networks, so half precision is written into the graph."""

from collections import defaultdict

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

KEEP = frozenset(
    # A sum over a map or a power of a sum leaves the range of fp16 (65,504) or its eleven bits;
    # next to a convolution these cost nothing.
    {
        "Pow",
        "Div",
        "AveragePool",
        "LRN",
        "ReduceMean",
        "ReduceSum",
        "GlobalAveragePool",
        "LayerNormalization",
        "Softmax",
    }
    | {"Exp", "Sqrt", "Log", "Reciprocal", "InstanceNormalization"}
)
_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_LARGEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto, keep: frozenset[str] = KEEP) -> onnx.ModelProto:
    """The model computing in fp16; u8 in and fp32 out, as before.

    Everything up to the first convolution or product (cast, luminance, normalisation) and the operators in `keep`
    stay in fp32, between casts.
    """
    kinds = _element_types(model)
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    kept = _kept_nodes(graph, keep)
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == _FLOAT}
    nodes: list[onnx.NodeProto] = []
    is_half: set[str] = set()
    cast: dict[tuple[str, int], str] = {}

    def as_type(name: str, wanted: int) -> str:
        if kinds.get(name) != _FLOAT or (wanted == _HALF) == (name in is_half):
            return name
        if (name, wanted) not in cast:
            cast[name, wanted] = f"{name}.{'f16' if wanted == _HALF else 'f32'}"
            if name in weights and wanted == _HALF:
                values = numpy_helper.to_array(weights[name])
                graph.initializer.append(numpy_helper.from_array(_narrow(values), cast[name, wanted]))
            else:
                nodes.append(
                    helper.make_node("Cast", [name], [cast[name, wanted]], f"to_{cast[name, wanted]}", to=wanted)
                )
        return cast[name, wanted]

    for node in list(graph.node):
        wanted = _FLOAT if node.name in kept else _HALF
        for index, name in enumerate(node.input):
            node.input[index] = as_type(name, wanted)
        _retype(node, wanted)
        is_half.update(name for name in node.output if wanted == _HALF and kinds.get(name) == _FLOAT)
        nodes.append(node)
    for output in graph.output:
        _widen(output.name, nodes, is_half)
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)
    onnx.checker.check_model(half, full_check=True)
    return half


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value of the graph."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    kinds = {each.name: each.type.tensor_type.elem_type for each in (*graph.value_info, *graph.input, *graph.output)}
    return kinds | {each.name: each.data_type for each in graph.initializer}


def _kept_nodes(graph: onnx.GraphProto, keep: frozenset[str]) -> set[str]:
    """Names of the nodes that stay in fp32; names are given where they are missing."""
    before = {graph.input[0].name}  # values that no convolution or product has touched
    kept = set()
    for index, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
        early = node.op_type not in ("Conv", "MatMul", "Gemm") and any(name in before for name in node.input)
        if early:
            before.update(node.output)
        if early or node.op_type in keep:
            kept.add(node.name)
    return kept


def _retype(node: onnx.NodeProto, wanted: int) -> None:
    """Constants and casts inside the node follow the type that it computes in."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
            attribute.i = wanted
        if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == _FLOAT and wanted == _HALF:
            attribute.t.CopyFrom(numpy_helper.from_array(_narrow(numpy_helper.to_array(attribute.t)), attribute.t.name))


def _narrow(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """The nearest fp16 values; those beyond its range end there instead of becoming infinite."""
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)


def _widen(name: str, nodes: list[onnx.NodeProto], is_half: set[str]) -> None:
    """Keep the output's name and type: the node before it writes another name, and a cast follows."""
    if name not in is_half:
        return
    inner = f"{name}.f16"
    for node in nodes:
        for names in (node.input, node.output):
            for index, each in enumerate(names):
                if each == name:
                    names[index] = inner
    nodes.append(helper.make_node("Cast", [inner], [name], f"to_{name}", to=_FLOAT))


def _drop_unused(graph: onnx.GraphProto) -> None:
    uses: dict[str, int] = defaultdict(int)
    for node in graph.node:
        for name in node.input:
            uses[name] += 1
    kept = [tensor for tensor in graph.initializer if uses[tensor.name]]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
