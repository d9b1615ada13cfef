import pytest
import torch

from train.learn.objective import Average, Objective
from train.learn.schedule import factor, optimiser_of, rate_at
from train.recipe import Optimiser, Recipe, Schedule, read_recipe


def test_steps_fall_at_their_milestones() -> None:
    schedule = Schedule(kind="steps", milestones=(15, 30), gamma=0.1)
    assert [factor(schedule, epoch, 40, 100) for epoch in (0, 14.99, 15, 29, 30)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    counted = Schedule(kind="steps", milestones=(8000,), unit="iterations")
    assert [factor(counted, epoch, 40, 1000) for epoch in (7.999, 8.0)] == pytest.approx([1, 0.1])


def test_warm_up_is_linear_and_a_cosine_ends_where_it_should() -> None:
    schedule = Schedule(kind="cosine", warmup_epochs=5, last=0.01)
    per_epoch = 10
    assert factor(schedule, 0, 100, per_epoch) == pytest.approx(0.1 / 5.1)
    assert factor(schedule, 2.5, 100, per_epoch) == pytest.approx(2.6 / 5.1)
    assert factor(schedule, 5, 100, per_epoch) == 1.0
    assert factor(schedule, 52.5, 100, per_epoch) == pytest.approx((1 + 0.01) / 2)
    assert factor(schedule, 100, 100, per_epoch) == pytest.approx(0.01)


def test_the_stem_has_a_course_of_its_own() -> None:
    recipe = read_recipe("transfer-ferplus-modern")
    rate, net = recipe.optimiser.rate, recipe.net
    assert rate_at(recipe, 3.0, 100) == pytest.approx(rate * net.stem_factor)  # warmed up
    assert rate_at(recipe, net.stem_epochs - 0.01, 100) < 0.02 * rate * net.stem_factor
    assert rate_at(recipe, net.stem_epochs, 100) < 0.01 * rate  # warms up anew
    assert rate_at(recipe, net.stem_epochs + 3.0, 100) == pytest.approx(rate)


def small() -> tuple[Recipe, Objective]:
    recipe = read_recipe("tiny")
    return recipe, Objective(recipe, 8)


def test_norms_and_biases_decay_only_where_the_recipe_says() -> None:
    _, objective = small()
    plain = optimiser_of(objective, Optimiser("sgd", 0.1, weight_decay=0.5))
    spared = optimiser_of(objective, Optimiser("sgd", 0.1, weight_decay=0.5, decay_norms=False))
    assert [group["weight_decay"] for group in plain.param_groups] == [0.5]
    assert [group["weight_decay"] for group in spared.param_groups] == [0.5, 0.0]
    assert all(parameter.ndim < 2 for parameter in spared.param_groups[1]["params"])
    assert sum(len(group["params"]) for group in spared.param_groups) == len(list(objective.parameters()))


def test_the_average_follows_weights_and_statistics() -> None:
    _, objective = small()
    average = Average(objective, decay=0.5)
    before = objective.net.conv1.weight.detach().clone()  # type: ignore[union-attr]
    with torch.no_grad():
        for name, tensor in objective.state_dict().items():
            if name in ("net.conv1.weight", "net.bn1.running_mean"):
                tensor += 1.0
    average.follow()
    pull = 1 - min(0.5, 2 / 11)
    assert torch.allclose(average.module.net.conv1.weight, before + pull, atol=1e-6)  # type: ignore[union-attr]
    assert torch.allclose(average.module.net.bn1.running_mean, torch.full((64,), pull))  # type: ignore[union-attr]
