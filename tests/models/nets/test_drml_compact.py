"""DRML compact: small, each cell with its own filters, exported without its training parts."""

import pytest
import torch

from contract.errors import BadRequest
from models.nets import build
from models.nets.cost import cost
from models.nets.layers.region import PlainRegionLayer


def test_it_answers_one_logit_per_unit():
    net = build("drml-compact", edge=32, units=5).eval()

    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_it_costs_a_fortieth_of_drml():
    compact, published = cost("drml-compact"), cost("drml")

    assert compact.macs_inference < published.macs_inference / 40
    assert compact.parameters_inference < published.parameters_inference / 80


def test_the_cells_do_not_see_each_other():
    net = build("drml-compact", edge=96).eval()
    first, region = net.extractor[1], net.extractor[2]
    maps = first(torch.zeros(1, 3, 96, 96)).detach()  # 48 px: cells of 6
    changed = maps.clone()
    changed[..., :6, :6] += 1.0

    moved = (region(changed) - region(maps)).abs().amax(1)[0]

    assert moved[:6, :6].max() > 0.5
    assert moved[6:].max() == moved[:, 6:].max() == 0


@pytest.mark.usefixtures("float64")
def test_the_inference_graph_answers_alike(scramble):
    net = scramble(build("drml-compact", edge=32)).eval()
    x = torch.randn(3, 3, 32, 32)

    plain = net.inference()

    assert isinstance(plain.extractor[2], PlainRegionLayer)
    assert not any(isinstance(layer, torch.nn.Dropout) for layer in plain.modules())
    assert torch.allclose(plain(x), net(x), atol=1e-12)  # the same sums in float64


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ({"edge": 100}, "edge=100 does not fit DRML compact: it must be a multiple of 16"),
        ({"units": 0}, "units=0 must be"),
        ({"drop": 2.0}, "drop=2.0 must lie between 0 and 1"),
        ({"width": 0}, "width=0 must be"),
    ],
)
def test_an_option_that_cannot_be_is_refused(option, wanted):
    with pytest.raises(BadRequest, match=wanted):
        build("drml-compact", **option)
