"""int8 of every net of the registry: exported, calibrated and run on the CPU; random weights, small pictures."""

from typing import Any

import numpy as np
import pytest
import torch

from models.nets import build, names, options
from train.ship.export import Normalisation, logits_of, serving_graph, to_onnx
from train.ship.quantise import ATTEMPTS, calibrate, products_of_planes

SMALL: dict[str, dict[str, Any]] = {
    "drml": {"edge": 66, "hidden": (32, 16)},
    "transfer": {"edge": 32, "width": 32, "heads": 2, "depth": 1, "stem_units": (1, 1, 1), "head": "random"},
}
"""Where a net has widths; the others take pictures of 32 px."""


def small(name: str) -> tuple[torch.nn.Module, int]:
    """A net with random weights, and its edge."""
    variant = SMALL.get(name, {"edge": 32})
    variant = {option: value for option, value in variant.items() if option in options(name)}
    torch.manual_seed(0)
    return build(name, **variant).eval(), variant["edge"]


@pytest.mark.parametrize("name", names())
def test_int8_of_a_registered_net_is_made_by_the_first_attempt_and_runs(name):
    net, edge = small(name)
    model = to_onnx(serving_graph(net, Normalisation((0.5,) * 3, (0.25,) * 3)), edge)
    crops = np.random.default_rng(0).integers(0, 256, (24, edge, edge, 3), dtype=np.uint8)

    made = calibrate(model, crops[:16], crops[16:], attempts=ATTEMPTS[:1], least=0.0)

    before, after = logits_of(model, crops[16:]), logits_of(made.model, crops[16:], weight_bits=7)
    assert before.shape == after.shape
    assert np.abs(after - before).mean() < 0.5 * before.std() + 0.05  # random nets: signal of the size of the noise
    assert made.model.ByteSize() < 0.6 * model.ByteSize()
    assert bool(products_of_planes(model)) == name.startswith("fcanet")
