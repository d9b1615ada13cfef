"""The multi-spectral attention alone, on every published list and on maps of every size that occurs."""

import math

import pytest
import torch

from models.nets.layers.frequencies import PUBLISHED
from models.nets.layers.spectral_attention import SpectralAttention, SpectralPlan


def weights_by_the_equation(x, s, pairs, side, orthonormal):
    """Two explicit sums per channel: pool to `side`, then the inner product with the cosine of its group."""
    channels, height = x.shape[1:3]
    spans = [(i * height // side, math.ceil((i + 1) * height / side)) for i in range(side)]
    sums = []
    for channel in range(channels):
        u, v = (
            index * (side // 7) if side >= 7 else index * side // 7 for index in pairs[channel * len(pairs) // channels]
        )
        total = 0
        for i, (top, bottom) in enumerate(spans):
            for j, (left, right) in enumerate(spans):
                wave = math.cos(math.pi * u * (i + 0.5) / side) * math.cos(math.pi * v * (j + 0.5) / side)
                if orthonormal:
                    wave *= math.sqrt((2 if u else 1) * (2 if v else 1)) / side
                total = total + wave * x[:, channel, top:bottom, left:right].mean((1, 2))
        sums.append(total)
    hidden = torch.stack(sums, 1) @ s["fc.0.weight"].T
    return 1 / (1 + torch.exp(-((hidden * (hidden > 0)) @ s["fc.2.weight"].T)))


@pytest.mark.parametrize(
    ("map_side", "side", "frequencies", "orthonormal"),
    [
        (14, 14, PUBLISHED["top16"], True),  # 224, third stage
        (7, 7, PUBLISHED["bot32"], True),  # 224, fourth stage
        (7, 14, PUBLISHED["top16"], True),  # 112 as released: enlarged
        (4, 7, PUBLISHED["low16"], True),  # 112 as released, uneven windows
        (4, 4, PUBLISHED["top16"], True),  # 112, real map below the grid
        (14, 7, PUBLISHED["top8"], True),  # shrunk
        (7, 7, PUBLISHED["low2"], False),  # the paper's basis
    ],
)
@pytest.mark.usefixtures("float64")
def test_weights_and_gradients_follow_the_equation(agree, map_side, side, frequencies, orthonormal):
    torch.manual_seed(0)
    layer = SpectralAttention(32, SpectralPlan(frequencies, side, map_side, orthonormal))
    x = torch.randn(2, 32, map_side, map_side)

    def reference(x, s):
        weights = weights_by_the_equation(x, s, frequencies, side, orthonormal)
        return weights, x * weights[:, :, None, None]

    agree(layer, lambda x: (layer.weights(x), layer(x)), reference, x)


@pytest.mark.usefixtures("float64")
def test_searched_weights_and_gradients_follow_the_equation(agree):
    torch.manual_seed(0)
    layer = SpectralAttention(32, SpectralPlan(None, 7, 7, groups=4))
    with torch.no_grad():
        layer.dct_layer.alpha.normal_()

    def reference(x, s):
        share = torch.exp(s["dct_layer.alpha"]) / torch.exp(s["dct_layer.alpha"]).sum(1, keepdim=True)
        places = torch.arange(7) + 0.5
        sums = 0
        for u in range(7):
            for v in range(7):
                norm = math.sqrt((2 if u else 1) * (2 if v else 1)) / 7
                plane = norm * torch.outer(torch.cos(math.pi * u * places / 7), torch.cos(math.pi * v * places / 7))
                sums = sums + share[:, 7 * u + v].repeat_interleave(8) * (x * plane).sum((2, 3))
        hidden = sums @ s["fc.0.weight"].T
        return (1 / (1 + torch.exp(-((hidden * (hidden > 0)) @ s["fc.2.weight"].T))),)

    agree(layer, lambda x: (layer.weights(x),), reference, torch.randn(2, 32, 7, 7))


@pytest.mark.usefixtures("float64")
def test_the_mean_frequency_is_squeeze_and_excitation_up_to_a_constant():
    layer = SpectralAttention(32, SpectralPlan(PUBLISHED["top1"], 7, 7))
    paper = SpectralAttention(32, SpectralPlan(PUBLISHED["top1"], 7, 7, orthonormal=False))
    x = torch.rand(2, 32, 7, 7)

    assert torch.allclose(layer.dct_layer(x), 7 * x.mean((2, 3)), rtol=1e-12)  # sqrt(H W) times the mean
    assert torch.allclose(paper.dct_layer(x), 49 * x.mean((2, 3)), rtol=1e-12)  # H W times the mean


def test_the_stored_entry_repeats_each_plane_within_its_group():
    layer = SpectralAttention(64, SpectralPlan(PUBLISHED["top16"], 14, 7)).dct_layer

    assert layer.weight.shape == (64, 14, 14)
    assert torch.equal(layer.weight.reshape(16, 4, 14, 14), layer.weight[::4, None].expand(16, 4, 14, 14))
    assert list(layer.state_dict()) == ["weight"]
