"""fp16 graphs: what stays in fp32, and that the types fit. The four nets: test_build.py."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from train.ship.export import logits_of
from train.ship.half import to_half


def small(nodes, weights, outputs=3) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 4, 4, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def model() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["crops"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bytes", "scale"], ["picture"]),
        helper.make_node("Flatten", ["picture"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Pow", ["active", "two"], ["power"]),
        helper.make_node("Gemm", ["power", "v"], ["logits"]),
    ]
    weights = {
        "scale": np.float32(1 / 255),
        "two": np.float32(2),
        "w": random.normal(0, 0.2, (48, 8)).astype(np.float32),
        "b": random.normal(0, 0.2, 8).astype(np.float32),
        "v": random.normal(0, 0.2, (8, 3)).astype(np.float32),
    }
    return small(nodes, weights)


CROPS = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)


def test_it_means_the_same_within_eleven_bits(model):
    before, after = logits_of(model, CROPS), logits_of(to_half(model), CROPS)

    np.testing.assert_allclose(after, before, rtol=5e-3, atol=2e-3)
    assert not np.array_equal(before, after)


def test_bytes_go_in_and_fp32_comes_out(model):
    half = to_half(model)

    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert (half.graph.output[0].name, half.graph.output[0].type.tensor_type.elem_type) == ("logits", TensorProto.FLOAT)


def test_normalisation_and_powers_stay_in_fp32_and_products_do_not(model):
    half = onnx.shape_inference.infer_shapes(to_half(model), strict_mode=True)
    kinds = {each.name: each.type.tensor_type.elem_type for each in half.graph.value_info}

    assert [kinds[name] for name in ("bytes", "picture", "power")] == [TensorProto.FLOAT] * 3
    assert [kinds[name] for name in ("hidden", "active")] == [TensorProto.FLOAT16] * 2


def test_weights_are_stored_once(model):
    half = to_half(model)
    kinds = {each.name: each.data_type for each in half.graph.initializer}

    assert kinds == {
        "scale": TensorProto.FLOAT,
        "two": TensorProto.FLOAT,
        "w.f16": TensorProto.FLOAT16,
        "b.f16": TensorProto.FLOAT16,
        "v.f16": TensorProto.FLOAT16,
    }


def test_weights_beyond_the_range_of_fp16_do_not_become_infinite(model):
    for tensor in model.graph.initializer:
        if tensor.name == "v":
            tensor.CopyFrom(numpy_helper.from_array(np.full((8, 3), 1e6, np.float32), "v"))

    half = {each.name: numpy_helper.to_array(each) for each in to_half(model).graph.initializer}

    assert (half["v.f16"] == np.float16(65504)).all()


def test_the_model_given_is_left_alone(model):
    before = model.SerializeToString()

    to_half(model)

    assert model.SerializeToString() == before
