"""Dropping exactly one attention per unlucky sample, with the published chances."""

import pytest
import torch

from models.nets.layers.one_drop import OneDrop, chosen_to_drop

CPU = torch.device("cpu")


@pytest.mark.parametrize(("rate", "choices"), [(0.6, 2), (0.3, 8), (0.2, 2)])
def test_samples_lose_with_the_given_chance_and_evenly_over_the_choices(rate, choices):
    torch.manual_seed(0)
    samples = 40_000

    lost = chosen_to_drop(samples, choices, rate, CPU)

    assert lost.sum(1).max() == 1
    # Five standard errors of a share of 40,000 draws.
    assert lost.any(1).double().mean().item() == pytest.approx(rate, abs=5 * (rate * (1 - rate) / samples) ** 0.5)
    each = rate / choices
    assert lost.double().mean(0).tolist() == pytest.approx([each] * choices, abs=5 * (each / samples) ** 0.5)


def test_what_is_lost_is_the_whole_entry_and_nothing_is_rescaled():
    torch.manual_seed(0)
    x = torch.rand(64, 4, 3, 5) + 1

    out = OneDrop(0.5).train()(x)

    zero = (out == 0).flatten(2)
    assert torch.equal(zero.all(2), zero.any(2))
    assert 0 < zero.all(2).sum() < 64
    assert torch.equal(out[~zero.all(2)], x[~zero.all(2)])


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_extreme_chances_are_certainties(rate):
    torch.manual_seed(0)

    out = OneDrop(rate).train()(torch.ones(256, 3, 2))

    assert (out.sum((1, 2)) == (6 if rate == 0.0 else 4)).all()


def test_eval_drops_nothing():
    x = torch.rand(8, 2, 2)

    assert OneDrop(1.0).eval()(x) is x


def test_the_input_itself_stays_whole_and_lost_entries_get_no_gradient():
    torch.manual_seed(0)
    x = torch.ones(32, 2, 3, requires_grad=True)

    out = OneDrop(1.0).train()(x)
    out.sum().backward()

    assert (x == 1).all()
    assert torch.equal(x.grad, out.detach())
