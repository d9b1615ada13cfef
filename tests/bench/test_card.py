"""`python -m bench gpu`: bounds by hand, waits by hand, and the whole of it on the CPU."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from bench.card.bound import Layer, Rates, images_per_s, layers_of
from bench.card.main import plot
from mien.feeding import Feeder, faces_per_s, jpegs, under_load
from models.engines.deferred import Immediate
from models.nets import build
from models.nets.cost import cost


def test_a_convolution_moves_its_maps_and_its_weights_once():
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())

    (layer,) = layers_of(net, 16)

    assert layer == Layer(macs=8 * 8 * 8 * 27, moved=2 * (3 * 16 * 16 + 8 * 8 * 8), weights=2 * 216)


@pytest.mark.parametrize("name", ["dacl", "transfer", "fcanet18", "drml"])
def test_the_layers_of_a_net_do_all_its_arithmetic(name):
    with torch.device("meta"):
        net = build(name).eval().inference()

    assert sum(layer.macs for layer in layers_of(net, cost(name).edge)) == cost(name).macs_inference


def test_the_bound_is_the_slower_of_arithmetic_and_bytes_layer_by_layer():
    layers = [Layer(macs=100, moved=10, weights=1000), Layer(macs=10, moved=100, weights=0)]
    rates = Rates(macs_per_s=100.0, bytes_per_s=100.0)

    assert images_per_s(layers, rates, 1) == pytest.approx(1 / (10.1 + 1.0))  # the weights weigh on one picture
    assert images_per_s(layers, rates, 1000) == pytest.approx(1000 / (1000.0 + 1000.0))


@dataclass(frozen=True)
class Card:
    name: str = "counted"
    input_edge: int = 32


@dataclass
class Counting(Immediate):
    """An engine that notes what it is given."""

    card: Card = field(default_factory=Card)
    sizes: list[int] = field(default_factory=list)

    def __call__(self, crops):
        assert crops.shape[1:] == (32, 32, 3)
        self.sizes.append(len(crops))
        return {"logits": np.zeros((len(crops), 2), np.float32)}


def test_a_batch_is_collected_when_as_many_others_follow():
    done: list[int] = []
    feeder = Feeder([Counting()], threads=1, in_flight=2)
    crops = jpegs(2)

    for number in range(4):
        feeder.put(crops, lambda number=number: done.append(number))
    assert done == [0, 1]
    feeder.finish()

    assert done == [0, 1, 2, 3]


def test_with_one_in_flight_a_batch_is_done_before_the_next_begins():
    done: list[int] = []
    feeder = Feeder([Counting()], threads=1, in_flight=1)

    feeder.put(jpegs(1), lambda: done.append(0))

    assert done == [0]


def test_faces_are_read_in_batches_of_the_size_asked_for():
    engine = Counting()

    assert faces_per_s(Feeder([engine], 1, 2), jpegs(8), 4, 0.0) > 0

    assert set(engine.sizes) == {4}


def test_every_face_offered_is_read_and_no_batch_is_too_large():
    engine = Counting()

    load = under_load(Feeder([engine], 1, 2), jpegs(4), rate=200.0, batch=8, wait_s=0.001, seconds=0.5)

    assert sum(engine.sizes) == 100
    assert max(engine.sizes) <= 8
    assert 0 < load.p50_ms <= load.p99_ms
    assert load.mean_batch == pytest.approx(100 / len(engine.sizes))


def test_the_plot_shows_a_panel_per_net(tmp_path):
    row = {"edge": 112, "how": "torch", "bound_per_s": 10.0, "images_per_s": 5.0}
    nets = [{**row, "net": name, "batch": batch} for name in ("dacl", "drml") for batch in (1, 8)]

    path = plot({"device": "test", "tflops": 1.0, "gb_per_s": 2.0, "nets": nets}, tmp_path / "card.png")

    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")
