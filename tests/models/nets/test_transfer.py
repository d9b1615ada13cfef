"""TransFER against its equations: Xue et al. (ICCV 2021)."""

import pytest
import torch

from contract.errors import BadRequest
from models.nets import build

SMALL = {"classes": 5, "edge": 16, "stem_units": (1, 1, 2), "width": 16, "depth": 2, "heads": 4}


def stem_equations(q, s, x, training, units):
    x = q.batch_norm(q.conv(x, s["extractor.input_layer.0.weight"], pad=1), s, "extractor.input_layer.1", training)
    x = prelu(x, s["extractor.input_layer.2.weight"])
    strides = [2 if unit == 0 else 1 for count in units for unit in range(count)]
    for index, stride in enumerate(strides):
        name = f"extractor.body.{index}"
        out = q.batch_norm(x, s, f"{name}.res_layer.0", training)
        out = prelu(q.conv(out, s[f"{name}.res_layer.1.weight"], pad=1), s[f"{name}.res_layer.2.weight"])
        out = q.conv(out, s[f"{name}.res_layer.3.weight"], stride=stride, pad=1)
        out = q.batch_norm(out, s, f"{name}.res_layer.4", training)
        if f"{name}.shortcut_layer.0.weight" in s:
            short = q.conv(x, s[f"{name}.shortcut_layer.0.weight"], stride=stride)
            short = q.batch_norm(short, s, f"{name}.shortcut_layer.1", training)
        else:
            short = x[:, :, ::stride, ::stride]
        x = out + short
    return x


def prelu(x, slope):
    return torch.where(x > 0, x, slope[None, :, None, None] * x)


def local_equations(q, s, x, training, maps, norm):
    seen = []
    for index in range(maps):
        name = f"attention.las.{index}"
        one = q.conv(x, s[f"{name}.LA_conv1.weight"], s[f"{name}.LA_conv1.bias"])
        one = q.relu(q.batch_norm(one, s, f"{name}.bn1", training) if norm else one)
        one = q.conv(one, s[f"{name}.LA_conv2.weight"], s[f"{name}.LA_conv2.bias"])
        seen.append(q.sigmoid(q.batch_norm(one, s, f"{name}.bn2", training) if norm else one))
    return torch.cat(seen, 1)


def attention_equations(q, s, x, name, heads, scale, lost_head=None, lost_token=None):
    batch, tokens, width = x.shape
    size = width // heads
    joint = q.linear(x, s, f"{name}.qkv")
    if lost_token is not None:
        keep = torch.ones(batch, tokens, 1, dtype=x.dtype)
        for sample, token in enumerate(lost_token):
            if token is not None:
                keep[sample, token] = 0
        joint = joint * keep
    outs = []
    for head in range(heads):
        query, key, value = (
            joint[:, :, part * width + head * size : part * width + (head + 1) * size] for part in range(3)
        )
        if lost_head is not None:  # the paper's: zero query, key and value of the lost head
            keep = torch.tensor([0.0 if head == lost else 1.0 for lost in lost_head], dtype=x.dtype)[:, None, None]
            query, key, value = query * keep, key * keep, value * keep
        scores = torch.exp(torch.einsum("bid,bjd->bij", query, key) * scale)
        outs.append(torch.einsum("bij,bjd->bid", scores / scores.sum(-1, keepdim=True), value))
    return q.linear(torch.cat(outs, -1), s, f"{name}.proj")


def transfer_equations(q, s, x, training, *, lost_map, lost, msad="head", mask="input", norm=True, scale=4**-0.5):
    """`lost_map` and `lost[block]` name per sample what is dropped (None: nothing)."""
    maps = stem_equations(q, s, x, training, SMALL["stem_units"])
    looks = local_equations(q, s, maps, training, 2, norm)
    keep = torch.tensor([[0.0 if index == lost_one else 1.0 for index in range(2)] for lost_one in lost_map])
    looks = looks * keep.to(x.dtype)[:, :, None, None]
    mask_map = torch.maximum(looks[:, :1], looks[:, 1:])
    weight, bias = s["convert.proj.weight"], s["convert.proj.bias"]
    tokens = q.conv(maps * mask_map, weight, bias) if mask == "input" else q.conv(maps, weight, bias) * mask_map
    tokens = tokens.reshape(len(x), tokens.shape[1], -1).transpose(1, 2)
    tokens = torch.cat([s["vit.cls_token"].repeat(len(x), 1, 1), tokens], 1) + s["vit.pos_embed"]
    for block in range(SMALL["depth"]):
        name = f"vit.blocks.{block}"
        dropped = {"lost_head" if msad == "head" else "lost_token": lost[block]}
        normal = q.layer_norm(tokens, s, f"{name}.norm1")
        tokens = tokens + attention_equations(q, s, normal, f"{name}.attn", SMALL["heads"], scale, **dropped)
        hidden = q.linear(q.layer_norm(tokens, s, f"{name}.norm2"), s, f"{name}.mlp.fc1")
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        tokens = tokens + q.linear(hidden, s, f"{name}.mlp.fc2")
    return (q.linear(q.layer_norm(tokens, s, "vit.norm")[:, 0], s, "head.fc"),)


def plan_drops(monkeypatch, *plans):
    """Let the next draws drop what the plans say, one plan per OneDrop in order of use."""
    draws = iter(plans)

    def chosen(samples, choices, rate, device):
        return torch.tensor([[index == lost for index in range(choices)] for lost in next(draws)])

    monkeypatch.setattr("models.nets.layers.one_drop.chosen_to_drop", chosen)


NOTHING = (None, None, None)


@pytest.mark.parametrize(
    "variant",
    [
        {},  # as in the paper
        {"mask": "output"},  # PyTorch release
        {"local_norm": "none"},  # the formula without BN
        {"qk_scale": 0.05},  # an older checkpoint's scale
    ],
)
@pytest.mark.usefixtures("float64")
def test_eval_logits_and_gradients_follow_the_equations(equations, agree, scramble, variant):
    torch.manual_seed(0)
    net = scramble(build("transfer", **SMALL, **variant)).eval()
    told = {
        "mask": variant.get("mask", "input"),
        "norm": "local_norm" not in variant,
        "scale": variant.get("qk_scale", 4**-0.5),
    }

    def reference(x, s):
        return transfer_equations(equations, s, x, False, lost_map=NOTHING, lost=(NOTHING, NOTHING), **told)

    agree(net, lambda x: (net(x),), reference, torch.randn(3, 3, 16, 16))


@pytest.mark.parametrize("msad", ["head", "token"])
@pytest.mark.usefixtures("float64")
def test_training_with_dropped_attentions_follows_the_equations(equations, agree, scramble, monkeypatch, msad):
    torch.manual_seed(0)
    net = scramble(build("transfer", **SMALL, msad=msad)).train()
    lost_map, lost = (None, 0, 1), ((3, None, 0), (None, 2, 2))
    plan_drops(monkeypatch, lost_map, *lost)

    def reference(x, s):
        return transfer_equations(equations, s, x, True, lost_map=lost_map, lost=lost, msad=msad)

    agree(net, lambda x: (net(x),), reference, torch.randn(3, 3, 16, 16))


@pytest.mark.usefixtures("float64")
def test_the_token_variant_blanks_a_token_where_the_paper_drops_a_head(scramble, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 16)
    logits = {}
    for msad in ("head", "token"):
        torch.manual_seed(1)
        net = scramble(build("transfer", **SMALL, msad=msad, mad=0.0)).train()
        plan_drops(monkeypatch, (0, 0), (0, 0))
        logits[msad] = net(x)

    assert (logits["head"] - logits["token"]).abs().max() > 1e-3


def test_a_lost_map_leaves_the_other_and_a_single_lost_map_leaves_the_dark():
    for maps in (2, 1):
        net = build("transfer", **SMALL, maps=maps, mad=1.0).train()
        features, looks = torch.randn(4, 256, 2, 2), torch.rand(4, maps, 2, 2)

        dark = (net.convert(features, looks) - net.convert.proj.bias).abs().amax((1, 2)) < 1e-6

        assert dark.all() if maps == 1 else not dark.any()


def test_an_untrained_net_answers_zero_unless_told_otherwise():
    x = torch.randn(2, 3, 16, 16)

    assert not build("transfer", **SMALL).eval()(x).any()
    assert build("transfer", **SMALL, head="random").eval()(x).any()


def test_local_attention_maps_lie_between_zero_and_one():
    maps = build("transfer", **{**SMALL, "maps": 3}).eval().local_attention(torch.randn(2, 3, 16, 16))

    assert maps.shape == (2, 3, 2, 2)
    assert 0 < maps.min() <= maps.max() < 1


@pytest.mark.parametrize(
    "option",
    [{"msad": "heads"}, {"mask": "x"}, {"mad": 1.5}, {"msad_rate": -0.1}, {"heads": 5}, {"maps": 0}, {"head": "one"}],
)
def test_a_variant_that_does_not_exist_is_refused_by_name(option):
    with pytest.raises(BadRequest, match=next(iter(option))):
        build("transfer", **{**SMALL, **option})
