"""DRML against its equations: Zhao et al. (CVPR 2016)."""

import pytest
import torch

from contract.errors import BadRequest
from models.nets import build

CELLS = [f"extractor.1.region_conv_{row}_{column}" for row in range(8) for column in range(8)]
JOINED = {"weight": "2.weight", "bias": "2.bias", "scale": "0.weight", "shift": "0.bias"}
SMALL = {"units": 5, "edge": 66, "hidden": (12, 10)}


def region_equations(q, s, x, training, affine=True):
    """Cell by cell, row by row, as the paper draws it."""
    side = x.shape[2] // 8
    rows = []
    for row in range(8):
        cells = []
        for column in range(8):
            name = f"extractor.1.region_conv_{row}_{column}"
            cell = x[:, :, row * side : (row + 1) * side, column * side : (column + 1) * side]
            plain = {f"{name}.0.weight": torch.ones(32), f"{name}.0.bias": torch.zeros(32)}
            normal = q.batch_norm(cell, s if affine else {**s, **plain}, f"{name}.0", training)
            cells.append(cell + q.conv(q.relu(normal), s[f"{name}.2.weight"], s[f"{name}.2.bias"], pad=1))
        rows.append(torch.cat(cells, 3))
    return torch.cat(rows, 2)


def lrn_equations(x):
    """x_c / (1 + 1e-4 / 5 sum of the squares of five neighbouring channels)^0.75."""
    squares = [sum(x[:, near] ** 2 for near in range(max(0, c - 2), min(32, c + 3))) for c in range(32)]
    return x / (1 + 1e-4 / 5 * torch.stack(squares, 1)) ** 0.75


def drml_equations(q, s, x, training, norm="lrn", affine=True):
    x = q.conv(x, s["extractor.0.weight"], s["extractor.0.bias"])
    x = q.max_pool(q.relu(region_equations(q, s, x, training, affine)), 2, 2, 0)
    x = {"lrn": lrn_equations, "none": lambda x: x, "batch": lambda x: q.batch_norm(x, s, "extractor.4", training)}[
        norm
    ](x)
    for index, stride in ((5, 1), (7, 1), (9, 2), (11, 1)):
        x = q.relu(q.conv(x, s[f"extractor.{index}.weight"], s[f"extractor.{index}.bias"], stride=stride))
    x = x.reshape(len(x), -1)
    x = q.relu(q.linear(x, s, "classifier.0"))
    x = q.relu(q.linear(x, s, "classifier.3"))
    return (q.linear(x, s, "classifier.6"),)


@pytest.mark.parametrize(
    ("training", "norm", "cells"),
    [
        (False, "lrn", "affine"),  # the net that is exported
        (True, "lrn", "affine"),  # batch statistics per cell
        (True, "batch", "affine"),  # AlexHex7
        (False, "none", "plain"),  # the paper's figure with the Caffe release's BN
    ],
)
@pytest.mark.usefixtures("float64")
def test_logits_and_gradients_follow_the_equations(equations, agree, scramble, training, norm, cells):
    torch.manual_seed(0)
    net = scramble(build("drml", **SMALL, norm=norm, cells=cells)).train(training)
    net.classifier[2].p = net.classifier[5].p = 0.0  # dropout's draw is not what is compared

    agree(
        net,
        lambda x: (net(x),),
        lambda x, s: drml_equations(equations, s, x, training, norm, cells == "affine"),
        torch.randn(2, 3, 66, 66),
        joined={f"extractor.1.{name}": [f"{cell}.{part}" for cell in CELLS] for name, part in JOINED.items()},
    )


def test_dropout_stands_behind_both_hidden_layers_and_only_there():
    net = build("drml", **SMALL)

    assert [name for name, each in net.named_modules() if isinstance(each, torch.nn.Dropout)] == [
        "classifier.2",
        "classifier.5",
    ]
    assert net.classifier[2].p == net.classifier[5].p == 0.5


def test_the_published_sizes_come_out():
    with torch.device("meta"):
        net = build("drml", units=12, norm="lrn")
        maps = net.extractor(torch.empty(1, 3, 170, 170))

    assert maps.shape == (1, 16, 27, 27)
    assert net.classifier[0].in_features == 11664


def test_caffe_values_are_those_of_the_prototxt():
    torch.manual_seed(0)
    net = build("drml", **{**SMALL, "hidden": (512, 256)}, init="caffe")

    assert net.extractor[1].weight.std().item() == pytest.approx(0.01, rel=0.01)  # 590 k draws
    assert net.classifier[3].weight.std().item() == pytest.approx(0.005, rel=0.01)  # 131 k draws
    assert (net.extractor[0].bias == 0).all()
    assert (net.extractor[1].bias == 1).all()
    assert (net.extractor[5].bias == 1).all()
    assert (net.classifier[0].bias == 1).all()
    assert (net.classifier[6].bias == 0).all()


@pytest.mark.parametrize(
    "option", [{"norm": "group"}, {"cells": "x"}, {"init": "x"}, {"edge": 171}, {"edge": 58}, {"units": 0}]
)
def test_a_variant_that_does_not_exist_is_refused_by_name(option):
    with pytest.raises(BadRequest, match=next(iter(option))):
        build("drml", **{**SMALL, **option})
