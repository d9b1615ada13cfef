"""The registry, and what holds for every net: batches, eval, and the graph that is exported."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from contract.errors import BadRequest, UnknownNet
from models.nets import build, names, options
from models.nets.layers.one_drop import OneDrop

SMALL = {
    "dacl": {"classes": 3, "edge": 32},
    "resnet18": {"classes": 3, "edge": 32, "inner": (16, 24, 32, 48)},
    "transfer": {"edge": 16, "stem_units": (1, 1, 2), "width": 16, "depth": 2, "heads": 4, "head": "random"},
    "drml": {"edge": 66, "hidden": (12, 10)},
    "drml-compact": {"edge": 32, "hidden": 10},
    "fcanet18": {"classes": 3, "edge": 32},
}


def small(name, scramble):
    torch.manual_seed(0)
    net = scramble(build(name, **SMALL[name]))
    return net, torch.randn(3, 3, net.edge, net.edge)


def test_the_names_are_those_of_the_issue():
    assert names() == (
        "dacl",
        "resnet18",
        "transfer",
        "drml",
        "drml-compact",
        "fcanet18",
        "fcanet34",
        "fcanet50",
        "fcanet101",
    )


def test_asking_for_names_does_not_import_torch():
    code = "import sys, models.nets; models.nets.names(); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_net_is_refused_with_those_that_exist():
    with pytest.raises(UnknownNet, match=r"'resnet19'.*dacl, resnet18, transfer, drml, drml-compact, fcanet18"):
        build("resnet19")


@pytest.mark.parametrize(("name", "option"), [("dacl", "units"), ("fcanet34", "depth"), ("drml", "classes")])
def test_an_unknown_option_is_refused_with_those_that_exist(name, option):
    with pytest.raises(BadRequest, match=f"{name} has no option '{option}'; it has"):
        build(name, **{option: 7})


def test_options_are_listed_with_their_published_values():
    assert options("dacl") == {"classes": 7, "edge": 224, "inner": (64, 128, 256, 512)}
    assert options("fcanet50")["frequencies"] == "top16"
    assert options("transfer")["mad"] == 0.6
    assert options("drml")["norm"] == "lrn"


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", SMALL)
def test_one_picture_at_a_time_equals_a_batch(scramble, name):
    net, x = small(name, scramble)
    net.eval()

    one_by_one = torch.cat([net(picture[None]) for picture in x])

    assert one_by_one.std() > 0
    assert torch.allclose(net(x), one_by_one, rtol=1e-11, atol=1e-13)  # sums in another order


@pytest.mark.parametrize("name", SMALL)
def test_eval_is_deterministic_and_changes_nothing(scramble, name):
    net, x = small(name, scramble)
    net.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}

    first, second = net(x), net(x)

    assert torch.equal(first, second)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", SMALL)
def test_the_exported_graph_gives_the_same_logits_without_any_training_part(scramble, name):
    net, x = small(name, scramble)

    plain = net.inference()

    assert net.training, "asking for the copy must not switch the net"
    assert not any(module.training for module in plain.modules())
    assert not any(isinstance(module, nn.Dropout | OneDrop) for module in plain.modules())
    assert not any(key.startswith("attention") for key in plain.state_dict()) or name == "transfer"
    assert not any(each.requires_grad for each in plain.parameters())
    assert torch.allclose(plain(x), net.eval()(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", SMALL)
def test_the_exported_graph_is_a_copy(scramble, name):
    net, x = small(name, scramble)
    plain = net.inference()
    before = plain(x)

    with torch.no_grad():
        for value in net.parameters():
            value.add_(1.0)

    assert torch.equal(plain(x), before)


@pytest.mark.parametrize("name", SMALL)
def test_a_net_can_be_traced_for_any_batch(scramble, name):
    net, x = small(name, scramble)
    batch = torch.export.Dim("batch", min=1, max=64)

    program = torch.export.export(net.inference(), (x,), dynamic_shapes=({0: batch},))

    assert torch.allclose(program.module()(x[:1]), net.eval()(x[:1]), rtol=1e-4, atol=1e-5)  # float32
