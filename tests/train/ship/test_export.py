"""What leaves as a file is what torch computes. The four nets at full size: test_build.py."""

import msgspec
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from contract.errors import BadModel
from contract.model_card import ModelCard, read_card
from models.engines.choose import program_card
from models.engines.onnx import OnnxEngine
from models.engines.torch import TorchEngine
from train.ship.export import (
    Normalisation,
    ServingGraph,
    archive_of,
    check,
    check_program,
    export,
    largest_difference,
    logits_of,
    onnx_of,
    serving_graph,
    store_halved,
    store_whole,
    trace,
)

EDGE = 26  # no multiple of the strides: padding shows
CARD = ModelCard("odd", "1", "odd", "odd.onnx", "", "expressions", ("a", "b", "c"), EDGE, "logits", "", "", "", "")


class Odd(nn.Module):
    """Layers whose export goes wrong most easily: padding, pooling of uneven maps, LRN at the ends, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 7, 5, 2, 2)
        self.norm = nn.LocalResponseNorm(5, 0.5, 0.75, 1.0)
        self.second = nn.Conv2d(7, 64, 3, 2, 1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(64 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.norm(self.first(x)), 3, 2, 1, ceil_mode=True)
        x = nn.functional.adaptive_avg_pool2d(self.second(x), (3, 3))  # 4 x 4 -> 3 x 3: windows overlap
        return self.head(self.drop(x.flatten(1)))

    def inference(self) -> "Odd":
        self.drop = nn.Identity()  # type: ignore[assignment]
        return self


@pytest.fixture(scope="module")
def graph() -> ServingGraph:
    torch.manual_seed(1)
    return serving_graph(Odd(), Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.25), grey=True))


@pytest.fixture(scope="module")
def model(graph) -> onnx.ModelProto:
    return onnx_of(trace(graph, EDGE))


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, EDGE, EDGE, 3), dtype=np.uint8)


def test_the_graph_takes_bytes_in_any_number(model):
    (crops,) = model.graph.input
    shape = crops.type.tensor_type.shape.dim

    assert crops.name == "crops"
    assert crops.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert shape[0].dim_param
    assert [each.dim_value for each in shape[1:]] == [EDGE, EDGE, 3]
    assert [each.name for each in model.graph.output] == ["logits"]
    assert model.opset_import[0].version == 20


def test_the_input_feeds_a_cast_and_nothing_else(model):
    assert [node.op_type for node in model.graph.node if "crops" in node.input] == ["Cast"]


def test_what_only_training_needs_is_absent(model):
    assert "Dropout" not in {node.op_type for node in model.graph.node}


def test_no_path_of_this_machine_is_in_the_file(model):
    body = model.SerializeToString()

    assert b".py" not in body
    assert b"site-packages" not in body


@pytest.mark.parametrize("size", [1, 2, 6])
def test_onnx_agrees_with_torch(model, graph, crops, size):
    assert largest_difference(model, graph, crops[:size]) <= 1e-5  # fp32 sums in another order


def test_luminance_and_normalisation_are_those_of_the_equation(crops):
    """A net that shows its input: float64 by hand against the graph."""
    show = nn.Flatten()
    graph = ServingGraph(show, Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.25), grey=True))
    grey = (crops.astype(np.float64) * [0.299, 0.587, 0.114]).sum(-1, keepdims=True) / 255
    wanted = ((grey - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.25]).transpose(0, 3, 1, 2).reshape(len(crops), -1)

    seen = graph(torch.from_numpy(crops)).numpy()

    np.testing.assert_allclose(seen, wanted, atol=3e-6)  # fp32 of values around 3


def test_all_four_files_are_written_and_run(graph, crops, tmp_path):
    card = export(graph, CARD, tmp_path, [crops], "pytest")

    assert sorted(each.name for each in tmp_path.iterdir()) == ["odd.json", "odd.onnx", "odd.pt2", "odd.torch.json"]
    assert read_card(tmp_path / "odd.json") == card
    assert card.measurements[0].value <= 1e-4
    onnx_logits = OnnxEngine(card, tmp_path)(crops)["logits"]
    torch_logits = TorchEngine(read_card(program_card(card, tmp_path)), tmp_path)(crops)["logits"]
    np.testing.assert_allclose(onnx_logits, torch_logits, atol=1e-5)


def test_a_graph_that_differs_is_not_written(graph, crops, tmp_path, monkeypatch):
    real = onnx_of(trace(graph, EDGE))
    for tensor in real.graph.initializer:
        if tensor.name.endswith("head.bias"):
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + np.float32(2e-4), tensor.name)
            )
    monkeypatch.setattr("train.ship.export.onnx_of", lambda *_: real)

    with pytest.raises(BadModel, match=r"ONNX graph differs by 2\.0.e-04 in a logit, wanted at most 1e-04"):
        export(graph, CARD, tmp_path, [crops], "pytest")
    assert list(tmp_path.iterdir()) == []


def test_not_a_number_is_a_difference(graph, model, crops):
    broken = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in broken.graph.initializer:
        if tensor.name.endswith("head.bias"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), tensor.name))

    with pytest.raises(BadModel, match="differs by inf"):
        check(broken, graph, [crops], 1e-4)


def test_a_program_of_other_weights_is_found_out(graph, crops):
    torch.manual_seed(2)
    other = serving_graph(Odd(), Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))

    with pytest.raises(BadModel, match="exported program differs"):
        check_program(archive_of(trace(other, EDGE)), graph, [crops])


def test_stored_halved_and_widened_again_means_the_same(model, crops):
    halved = store_halved(model)

    assert halved.ByteSize() < 0.65 * model.ByteSize()
    assert "Cast" in {node.op_type for node in store_halved(model).graph.node}
    np.testing.assert_array_equal(logits_of(store_whole(halved), crops), logits_of(halved, crops))
    assert np.abs(logits_of(halved, crops) - logits_of(model, crops)).max() < 5e-3  # eleven bits of the weights


def test_the_card_keeps_what_it_was_given(graph, crops, tmp_path):
    given = msgspec.structs.replace(CARD, training_data="FER+", temperature=1.3)

    card = export(graph, given, tmp_path, [crops], "pytest", program_too=False)

    assert (card.training_data, card.temperature) == ("FER+", 1.3)
    assert not program_card(card, tmp_path).exists()


def test_a_net_of_grey_pictures_sees_one_channel_and_says_the_same(crops):
    torch.manual_seed(1)
    net, normalise = Odd().eval(), Normalisation((0.5,) * 3, (0.25,) * 3, grey=True)
    pictures = torch.from_numpy(crops).float()

    narrow = serving_graph(net, normalise)

    luminance = (pictures * torch.tensor([0.299, 0.587, 0.114])).sum(3)[:, None].expand(-1, 3, -1, -1)
    wanted = net((luminance / 255 - 0.5) / 0.25)
    assert narrow.net.first.in_channels == 1
    assert net.first.in_channels == 3  # the trained net itself stays as it was
    torch.testing.assert_close(narrow(torch.from_numpy(crops)), wanted, atol=1e-5, rtol=0)  # float32 sums


def test_channels_that_are_normalised_apart_stay_three(graph):
    assert graph.net.first.in_channels == 3
