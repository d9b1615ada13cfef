"""DACL against its equations: Farzaneh & Qi (WACV 2021)."""

import pytest
import torch

from contract.errors import BadRequest
from models.nets import build
from models.nets.dacl import DaclOutput

UNITS = (2, 2, 2, 2)


def dacl_equations(q, s, x, training):
    maps = q.resnet_maps(x, s, UNITS, training)
    code = maps.reshape(len(x), -1)
    for index in (0, 3):
        code = q.relu(q.batch_norm(q.linear(code, s, f"attention.{index}"), s, f"attention.{index + 1}", training))
    code = torch.tanh(q.batch_norm(q.linear(code, s, "attention.6"), s, "attention.7", training))
    scores = q.linear(code, s, "attention_heads").reshape(len(x), 512, 2)
    attention = torch.exp(scores[..., 1]) / torch.exp(scores).sum(-1)
    features = maps.sum((2, 3)) / (maps.shape[2] * maps.shape[3])
    return features, q.linear(features, s, "fc"), attention


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.usefixtures("float64")
def test_features_logits_attention_and_gradients_follow_the_equations(equations, agree, scramble, training):
    torch.manual_seed(0)
    net = scramble(build("dacl", classes=3, edge=33)).train(training)  # an odd edge: every stride rounds up
    x = torch.randn(4, 3, 33, 33)

    agree(net, net.with_attention, lambda x, s: dacl_equations(equations, s, x, training), x, gradients=training)


@pytest.mark.usefixtures("float64")
def test_training_gives_what_the_loss_needs_and_eval_gives_logits(scramble):
    net = scramble(build("dacl", classes=7, edge=32))
    x = torch.randn(2, 3, 32, 32)

    in_training = net(x)
    logits = net.eval()(x)

    assert isinstance(in_training, DaclOutput)
    assert [tuple(each.shape) for each in in_training] == [(2, 512), (2, 7), (2, 512)]
    assert in_training.attention.min() > 0
    assert in_training.attention.max() < 1
    assert torch.equal(logits, net.with_attention(x).logits)


def test_eval_never_runs_the_attention_branch():
    net = build("dacl", edge=32).eval()
    net.attention.register_forward_hook(lambda *_: pytest.fail("the attention ran"))

    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


@pytest.mark.parametrize(("edge", "inputs"), [(224, 25088), (112, 8192), (160, 12800)])
def test_the_attention_reads_the_whole_last_map(edge, inputs):
    with torch.device("meta"):
        net = build("dacl", edge=edge)
        out = net.with_attention(torch.empty(2, 3, edge, edge))

    assert net.attention[0].in_features == inputs
    assert out.attention.shape == (2, 512)


def test_attention_starts_kaiming_with_zero_bias():
    torch.manual_seed(0)
    net = build("dacl", edge=32)
    weight = net.attention[3].weight

    assert weight.std().item() == pytest.approx((2 / 3584) ** 0.5, rel=0.01)  # 1.8 M draws: 0.05 % standard error
    assert not net.attention[3].bias.any()
    assert net.conv1.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)  # 9,408 draws


@pytest.mark.parametrize("option", [{"classes": 0}, {"classes": 2.5}, {"edge": 31}, {"edge": True}])
def test_an_impossible_size_is_refused_by_name(option):
    with pytest.raises(BadRequest, match=next(iter(option))):
        build("dacl", **option)
