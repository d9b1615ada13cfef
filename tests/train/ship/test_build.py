"""The four nets on their way to an engine: ONNX, torch program, fp16, and plans that the RTX edition really builds."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from contract.errors import BadModel, BadRequest
from contract.manifest import Batches, read_manifest
from contract.model_card import read_card, weights_of
from models import zoo
from models.engines.building import recipe_for
from models.engines.crops import noise
from models.engines.library import load_library
from models.engines.plans import make_plan, trusted_plan
from models.nets import build
from train.ship import build as building
from train.ship.build import calibrated, export_net, in_precision, split_crops
from train.ship.crops import read_crops
from train.ship.export import ServingGraph, logits_of

FOUR = ("dacl", "fcanet34", "drml", "transfer")
PARAMETERS = {"dacl": 11_180_616, "fcanet34": 21_445_960, "drml": 56_867_532, "transfer": 65_217_869 + 769}
"""nets.md §1–4 with eight classes instead of seven (one more row and bias: 513, 513, 769), twelve units."""


def lively(name: str, **variant) -> nn.Module:
    """The net with statistics and a last layer that give logits around one: absolute tolerances then mean something."""
    net = build(name, **variant)
    normalise = building.PUBLISHED.get(name, (0, building.IMAGENET))[1]
    show = ServingGraph(nn.Identity(), normalise)
    smooth = torch.nn.functional.interpolate(torch.rand(8, 3, 5, 5) * 255, net.edge, mode="bilinear")
    crops = show(torch.cat([torch.from_numpy(noise(net.edge, 4)), smooth.byte().permute(0, 2, 3, 1)]))
    norms = [each for each in net.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    head = [each for each in net.modules() if isinstance(each, nn.Linear) and each.out_features in (8, 12)][-1]
    with torch.no_grad():
        for each in norms:
            each.momentum = 1.0
        net.train()(crops)
        head.weight.normal_(0, 0.05)
        logits = net.eval()(crops)
        head.weight.mul_(1 / logits.std())
    return net


@pytest.fixture(scope="module", params=FOUR)
def exported(request, tmp_path_factory):
    """The card of one net at its served size, and its folder."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build", lively)
        card = export_net(request.param, folder, program_too=request.param in ("dacl", "fcanet34"))
    yield card, folder
    for path in folder.iterdir():  # up to 700 MB per net
        path.unlink()


@pytest.fixture(scope="module")
def half(exported):
    card, folder = exported
    return in_precision(card, folder, "fp16", folder, None), folder


def test_each_net_agrees_with_torch(exported):
    card, _ = exported

    assert [each.name for each in card.measurements] == ["largest difference of a logit from torch"]
    assert card.measurements[0].value <= 1e-4


def test_each_graph_holds_the_inference_net_alone(exported):
    card, folder = exported
    model = onnx.load(folder / card.file)
    held = sum(int(np.prod(each.dims)) for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT)

    # Batch norms fold into convolutions (fewer); DCT planes, luminance and normalisation are added (more).
    assert 0.985 * PARAMETERS[card.net] < held < 1.03 * PARAMETERS[card.net]
    assert "Dropout" not in {node.op_type for node in model.graph.node}


def test_each_net_in_fp16_stays_within_a_hundredth(half):
    card, _ = half

    assert (card.name.endswith(".fp16"), card.precision) == (True, "fp16")
    assert card.measurements[-1].name == "largest difference of a logit from fp32"
    assert 0 < card.measurements[-1].value <= 1e-2


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_rtx_edition_builds_each_net(request, exported, half, precision, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    card, folder = exported if precision == "fp32" else half
    library = load_library("rtx")
    recipe = recipe_for(library, None, precision, Batches(1, 8, 32))

    plan, found = make_plan(tmp_path, card, folder, library, None, recipe)

    weights = (folder / card.file).stat().st_size
    assert not found
    assert 0.95 * weights < plan.manifest.plan_bytes < 1.2 * weights
    assert plan.manifest.onnx_sha256 == card.sha256
    (path,) = tmp_path.glob("*.plan.json")
    assert trusted_plan(path, card, library, None).body == plan.body
    assert read_manifest(path).recipe == recipe
    (tmp_path / plan.manifest.plan_file).unlink()


@pytest.fixture(scope="module")
def shipped(shared_data):
    """The shipped weights and real crops, half to calibrate on."""
    card, folder = zoo.find("expressions")
    crops = split_crops(read_crops(shared_data / "ferplus" / "validation.npz", card.input_edge, 448), "FER+ validation")
    return card, folder, crops


def test_the_rtx_edition_builds_eight_bits(shipped, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    card, folder, crops = shipped
    library = load_library("rtx")

    made = in_precision(card, folder, "int8", tmp_path, crops)
    plan, _ = make_plan(tmp_path, made, tmp_path, library, None, recipe_for(library, None, "int8", Batches()))

    assert made.measurements[-1].value >= 0.995
    assert plan.manifest.plan_bytes < 0.7 * (folder / card.file).stat().st_size  # that file holds fp16 weights


def test_calibrating_writes_a_card_with_its_numbers(shipped, tmp_path):
    card, folder, crops = shipped

    made = calibrated(card, folder, tmp_path, crops, "pytest")

    assert (made.name, made.precision) == ("expressions.int8", "int8")
    assert read_card(tmp_path / "expressions.int8.json") == made
    numbers = {each.name: each.value for each in made.measurements}
    assert numbers["equal decisions with fp32"] >= 0.995
    assert numbers["bytes per byte of fp32"] < 0.3
    model = onnx.load_from_string(weights_of(made, tmp_path))
    assert np.isfinite(logits_of(model, crops.held_out[:4])).all()


@pytest.mark.parametrize("make", [lambda *a: in_precision(*a[:2], "fp16", *a[2:]), lambda *a: calibrated(*a, "pytest")])
def test_only_fp32_is_converted(shipped, tmp_path, make):
    card, folder = zoo.find("expressions.int8")

    with pytest.raises(BadRequest, match=r"expressions\.int8 is int8"):
        make(card, folder, tmp_path, shipped[2])


def test_eight_bits_need_real_crops(tmp_path):
    card, folder = zoo.find("expressions")

    with pytest.raises(BadRequest, match="int8 needs real crops"):
        in_precision(card, folder, "int8", tmp_path, None)


def test_too_few_crops_are_refused():
    with pytest.raises(BadRequest, match="few: 31 crops, wanted at least 32"):
        split_crops(np.zeros((31, 8, 8, 3), np.uint8), "few")


def test_weights_of_another_net_are_refused(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(2)}}, tmp_path / "other.pth")

    with pytest.raises(BadModel):
        export_net("dacl", tmp_path, Path(tmp_path / "other.pth"))
    assert [each.name for each in tmp_path.iterdir()] == ["other.pth"]
