"""FcaNet against its equations: Qin et al. (ICCV 2021)."""

import math

import pytest
import torch

from contract.errors import BadRequest
from models.nets import build
from models.nets.layers.frequencies import PUBLISHED

UNITS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def basis_value(frequency, place, side, orthonormal):
    wave = math.cos(math.pi * frequency * (place + 0.5) / side)
    return wave * math.sqrt((2 if frequency else 1) / side) if orthonormal else wave


def adaptive_pool(x, side):
    """Mean over rows floor(i H / side) to ceil((i + 1) H / side), likewise columns; it enlarges where side > H."""
    height = x.shape[2]
    spans = [(i * height // side, math.ceil((i + 1) * height / side)) for i in range(side)]
    rows = [
        torch.stack([x[:, :, a:b, c:d].mean((2, 3)) for c, d in spans], -1)
        for a, b in spans  # square maps: the same spans both ways
    ]
    return torch.stack(rows, 2)


def attention_equations(q, s, pairs, sides, orthonormal=True):
    def attention(x, name):
        stage = int(name[len("layer")]) - 1
        side = sides[stage] or x.shape[2]
        pooled = x if side == x.shape[2] else adaptive_pool(x, side)
        group = x.shape[1] // len(pairs)
        sums = []
        for index, (u, v) in enumerate(pairs):
            factor = side // 7
            height, width = (u * factor, v * factor) if factor else (u * side // 7, v * side // 7)
            plane = torch.tensor(
                [
                    [
                        basis_value(height, h, side, orthonormal) * basis_value(width, w, side, orthonormal)
                        for w in range(side)
                    ]
                    for h in range(side)
                ]
            )
            sums.append((pooled[:, index * group : (index + 1) * group] * plane).sum((2, 3)))
        hidden = q.relu(q.linear(torch.cat(sums, 1), s, f"{name}.fc.0"))
        return x * q.sigmoid(q.linear(hidden, s, f"{name}.fc.2"))[:, :, None, None]

    return attention


OWN = ((0, 0), (1, 0), (0, 6), (3, 4))


@pytest.mark.parametrize(
    ("variant", "pairs", "sides", "orthonormal"),
    [
        ({"edge": 64}, PUBLISHED["top16"], (None,) * 4, True),  # maps of 16, 8, 4 and 2
        ({"edge": 64, "dct": "released"}, PUBLISHED["top16"], (56, 28, 14, 7), True),  # all enlarged
        ({"edge": 64, "dct": "seven", "frequencies": OWN}, OWN, (7,) * 4, True),  # shrunk, then enlarged
        ({"edge": 64, "frequencies": "lf", "basis": "paper"}, ((0, 0), (0, 1)), (None,) * 4, False),
    ],
)
@pytest.mark.usefixtures("float64")
def test_logits_follow_the_equations(equations, agree, scramble, variant, pairs, sides, orthonormal):
    torch.manual_seed(0)
    net = scramble(build("fcanet18", classes=5, **variant)).train()
    q = equations

    def reference(x, s):
        maps = q.resnet_maps(x, s, UNITS[18], True, attention_equations(q, s, pairs, sides, orthonormal))
        return (q.linear(maps.mean((2, 3)), s, "fc"),)

    # The gradients of the variants are compared on the layer alone (layers/test_spectral_attention.py).
    agree(net, lambda x: (net(x),), reference, torch.randn(3, 3, 64, 64), gradients=variant == {"edge": 64})


@pytest.mark.usefixtures("float64")
def test_the_bottleneck_net_follows_the_equations_in_eval(equations, scramble):
    torch.manual_seed(0)
    net = scramble(build("fcanet50", classes=5, edge=56)).eval()
    x, q, s = torch.randn(1, 3, 56, 56), equations, net.state_dict()

    with torch.no_grad():
        seen = net(x)
        attention = attention_equations(q, s, PUBLISHED["top16"], (None,) * 4)
        maps = q.resnet_maps(x, s, UNITS[50], False, attention)
        want = q.linear(maps.mean((2, 3)), s, "fc")

    assert (seen - want).abs().max() <= 1e-9 * want.abs().max()


@pytest.mark.usefixtures("float64")
def test_a_search_mixes_all_frequencies_and_settles_on_the_largest(scramble):
    torch.manual_seed(0)
    net = scramble(build("fcanet18", classes=3, edge=32, frequencies="nas"))
    attention = net.attentions()[-1]
    x = torch.randn(2, 512, 1, 1)
    share = torch.exp(attention.dct_layer.alpha) / torch.exp(attention.dct_layer.alpha).sum(1, keepdim=True)

    sums = attention.dct_layer(x)
    net(torch.randn(2, 3, 32, 32)).sum().backward()

    # On a 1 x 1 map every frequency is the value itself, so any mixture is.
    assert torch.allclose(sums, x[:, :, 0, 0] * share.sum(1).repeat_interleave(32), rtol=1e-12)
    assert net.attentions()[0].dct_layer.alpha.grad.abs().max() > 0
    with torch.no_grad():
        net.attentions()[0].dct_layer.alpha[3, 7 * 2 + 5] = 9.0
    assert net.found_frequencies()[0][3] == (2, 5)
    final = build("fcanet18", classes=3, edge=32, frequencies=net.found_frequencies())
    assert final.found_frequencies() == net.found_frequencies()


@pytest.mark.usefixtures("float64")
def test_a_searched_net_whose_choice_is_clear_equals_the_final_net():
    torch.manual_seed(0)
    searching = build("fcanet18", classes=3, edge=64, frequencies="nas").eval()
    with torch.no_grad():
        for attention in searching.attentions():
            attention.dct_layer.alpha.copy_(1e3 * torch.eye(16, 49))
    final = build("fcanet18", classes=3, edge=64, frequencies=searching.found_frequencies()).eval()
    final.load_state_dict(searching.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 64)

    assert torch.allclose(searching(x), final(x), rtol=1e-12)


def test_at_224_the_released_sizes_are_the_real_maps():
    with torch.device("meta"):
        released, real = (build("fcanet34", dct=dct) for dct in ("released", "map"))

    shapes = [
        {name: each.shape for name, each in net.named_buffers() if "dct_layer" in name} for net in (released, real)
    ]
    assert shapes[0] == shapes[1]
    assert shapes[0]["layer4.2.att.dct_layer.weight"] == (512, 7, 7)


@pytest.mark.parametrize(
    ("dct", "sides"), [("map", (28, 14, 7, 4)), ("released", (56, 28, 14, 7)), ("seven", (7,) * 4)]
)
def test_at_112_the_planes_fit_the_real_maps_whatever_the_dct(dct, sides):
    with torch.device("meta"):
        net = build("fcanet18", edge=112, dct=dct)

    layers = [net.get_submodule(f"layer{stage}.0.att.dct_layer") for stage in (1, 2, 3, 4)]
    assert tuple(layer.weight.shape[-1] for layer in layers) == sides
    assert tuple(layer.planes.shape[-1] for layer in layers) == (28, 14, 7, 4)


def test_the_channel_weights_of_a_picture_are_those_the_units_use():
    torch.manual_seed(0)
    net = build("fcanet18", edge=64).eval()
    x = torch.randn(2, 3, 64, 64)
    first = net.layer1[0]

    weights = net.channel_weights(x)

    assert [tuple(each.shape) for each in weights] == [(2, width) for width in (64, 128, 256, 512) for _ in range(2)]
    branch = first.branch(net.maxpool(net.bn1(net.conv1(x)).relu()))
    assert torch.equal(weights[0], first.att.weights(branch))
    assert not net.layer1[0].att.fc._forward_hooks


def test_maps_of_another_size_are_refused_and_not_guessed_at():
    net = build("fcanet18", edge=64).eval()

    with pytest.raises(BadRequest, match=r"\(8, 8\).*\(16, 16\)"):
        net(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    "option",
    [
        {"frequencies": "top3"},  # no such list
        {"frequencies": ((0, 7),)},  # outside the grid
        {"frequencies": ()},
        {"frequencies": (((0, 0),),) * 3},  # three lists for eight units
        {"dct": "x"},
        {"basis": "x"},
    ],
)
def test_a_variant_that_does_not_exist_is_refused_by_name(option):
    with pytest.raises(BadRequest, match=next(iter(option))):
        build("fcanet18", edge=32, **option)


def test_channels_that_do_not_part_evenly_are_refused():
    with pytest.raises(BadRequest, match="64 channels do not part into 3"):
        build("fcanet18", edge=32, frequencies=((0, 0), (0, 1), (1, 0)))
