"""The RTX edition really parses and builds here, without a GPU. The four nets: tests/train/test_build.py."""

import onnx
import pytest
from onnx import TensorProto, helper

from contract.errors import BadModel, BadRequest
from contract.manifest import Batches
from models.engines.building import build_plan, recipe_for
from models.engines.library import load_library

pytest.importorskip("tensorrt_rtx")


@pytest.fixture(scope="module")
def rtx():
    return load_library("rtx")


def body(exported) -> bytes:
    card, folder = exported
    return (folder / card.file).read_bytes()


def test_a_small_net_is_built_and_progress_is_told(rtx, exported):
    told = []

    plan, timings = build_plan(
        rtx,
        body(exported),
        recipe_for(rtx, None, "fp32", Batches(1, 2, 4)),
        watch=lambda *step: told.append(step) or True,
    )

    assert len(plan) > 10_000  # more than the weights
    assert timings == b""  # the RTX edition times nothing
    assert told
    assert all(step <= steps for _, step, steps in told)


def test_a_build_can_be_interrupted(rtx, exported):
    with pytest.raises(BadModel, match="interrupted; nothing was written"):
        build_plan(rtx, body(exported), recipe_for(rtx, None, "fp32", Batches(1, 2, 4)), watch=lambda *step: False)


def test_what_the_parser_says_is_in_the_error(rtx):
    model = graph_of(
        [
            helper.make_node("Cast", ["crops"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Frown", ["f"], ["y"], "brow"),
        ]
    )

    with pytest.raises(BadModel, match=r"cannot parse the ONNX: Frown 'brow'"):
        build_plan(rtx, model, recipe_for(rtx, None, "fp32", Batches()))


def test_bytes_that_are_no_onnx_are_refused(rtx):
    with pytest.raises(BadModel, match="cannot parse the ONNX"):
        build_plan(rtx, b"no model", recipe_for(rtx, None, "fp32", Batches()))


def test_an_input_that_is_not_a_batch_of_crops_is_refused(rtx):
    model = graph_of([helper.make_node("Relu", ["crops"], ["y"])], TensorProto.FLOAT)

    with pytest.raises(BadModel, match=r"the input is .* FLOAT, wanted u8 \(N, H, W, 3\)"):
        build_plan(rtx, model, recipe_for(rtx, None, "fp32", Batches()))


@pytest.mark.parametrize("option", [{"version_compatible": True}, {"hardware_compatibility": "ampere_plus"}])
def test_what_the_rtx_edition_does_not_have_is_refused(rtx, exported, option):
    with pytest.raises(BadRequest, match="knows no version or hardware compatibility"):
        build_plan(rtx, body(exported), recipe_for(rtx, None, "fp32", Batches(), **option))


def test_a_gpu_that_the_rtx_edition_does_not_run_on_is_refused(rtx, exported):
    with pytest.raises(BadRequest, match=r"does not run on compute capability 9\.0"):
        build_plan(rtx, body(exported), recipe_for(rtx, None, "fp32", Batches(), targets=("9.0",)))


def graph_of(nodes, kind=TensorProto.UINT8) -> bytes:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("crops", kind, ["N", 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 8, 3])],
    )
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
