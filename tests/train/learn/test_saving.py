"""The state of a run: what is kept as the best, and that a checkpoint brings all of it back."""

from pathlib import Path

import pytest
import torch

from contract.errors import BadRequest, WeightsDoNotFit
from train.learn.objective import Average, Objective
from train.learn.saving import Best, State, read_checkpoint, write_checkpoint
from train.learn.schedule import optimiser_of
from train.learn.tensors import read_tensors, write_tensors
from train.recipe import Augment, Data, Net, Optimiser, Recipe, Run

NET = Net("drml-compact", 32, options={"hidden": 8})
RECIPE = Recipe("a", "a test", NET, Data("units"), Optimiser("adamw", 1e-3, average=0.9), Run(2, 4), Augment())
CPU = torch.device("cpu")


def state(seed: int) -> State:
    """A run of `RECIPE` that has made one step."""
    torch.manual_seed(seed)
    objective = Objective(RECIPE, 12)
    made = State(objective, optimiser_of(objective, RECIPE.optimiser), Average(objective, 0.9))
    objective.logits(torch.rand(4, 3, 32, 32)).square().sum().backward()
    made.optimiser.step()
    made.average.follow()
    made.epoch = 3
    return made


def note(**change: object) -> dict[str, object]:
    return {"data_sha256": "a" * 64, "processes": 1, "spent_s": 12.5} | change


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.safetensors"


def test_a_better_score_is_kept_as_a_copy() -> None:
    one, best = state(0), Best()

    assert best.offer(one.objective, 1, 0.5)
    assert not best.offer(one.objective, 2, 0.5)  # the earlier where two are equal
    before = {name: each.clone() for name, each in best.entries.items()}
    one.objective.logits(torch.rand(4, 3, 32, 32)).sum().backward()
    one.optimiser.step()

    assert (best.epoch, best.score) == (1, 0.5)
    assert all(torch.equal(each, before[name]) for name, each in best.entries.items())


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    assert not Best().offer(state(0).objective, 1, float("nan"))


def test_weights_are_new_until_they_are_written_and_when_better_ones_come() -> None:
    one, best = state(0), Best()
    assert not best.is_new  # there are none

    best.offer(one.objective, 1, 0.5)
    assert best.is_new
    best.written = best.epoch
    assert not best.is_new
    best.offer(one.objective, 4, 0.6)
    assert best.is_new


def test_a_checkpoint_brings_everything_back(path: Path) -> None:
    one, other = state(0), state(1)
    one.best.offer(one.objective, 2, 0.75)

    write_checkpoint(path, one, RECIPE, note())
    spent = read_checkpoint(path, other, RECIPE, "a" * 64, 1, CPU)

    assert spent == 12.5
    assert (other.epoch, other.best.epoch, other.best.score) == (3, 2, 0.75)
    assert other.best.is_new  # the file of the weights may be older than the checkpoint
    assert other.average.steps == one.average.steps
    pairs = [
        (one.objective.state_dict(), other.objective.state_dict()),
        (one.average.module.state_dict(), other.average.module.state_dict()),
        (one.best.entries, other.best.entries),
    ]
    for wanted, seen in pairs:
        assert wanted.keys() == seen.keys()
        assert all(torch.equal(each, seen[name]) for name, each in wanted.items())
    memory = [each.optimiser.state_dict()["state"] for each in (one, other)]
    for index, some in memory[0].items():
        assert all(
            torch.equal(torch.as_tensor(each), torch.as_tensor(memory[1][index][name])) for name, each in some.items()
        )


@pytest.mark.parametrize(
    ("data", "processes", "error"),
    [("b" * 64, 1, "made with data_sha256"), ("a" * 64, 2, "made with processes = 1, this run has 2")],
)
def test_a_checkpoint_of_another_run_is_refused(path: Path, data: str, processes: int, error: str) -> None:
    write_checkpoint(path, state(0), RECIPE, note())

    with pytest.raises(BadRequest, match=error):
        read_checkpoint(path, state(1), RECIPE, data, processes, CPU)


def test_a_file_that_is_no_checkpoint_is_refused(path: Path) -> None:
    write_tensors(path, {}, {"schema": "something else"})

    with pytest.raises(BadRequest, match="schema 'something else', wanted"):
        read_checkpoint(path, state(0), RECIPE, "a" * 64, 1, CPU)


def test_a_checkpoint_of_another_net_is_refused_and_changes_nothing(path: Path) -> None:
    one = state(0)
    write_checkpoint(path, one, RECIPE, note())
    tensors, kept = read_tensors(path)
    name = next(each for each in tensors if each.startswith("objective."))
    write_tensors(path, {**tensors, name: torch.zeros(1, 2, 3)}, kept)
    other = state(1)
    before = {each: tensor.clone() for each, tensor in other.objective.state_dict().items()}

    with pytest.raises(WeightsDoNotFit, match=r"is \(1, 2, 3\), wanted"):
        read_checkpoint(path, other, RECIPE, "a" * 64, 1, CPU)

    assert all(torch.equal(each, before[name]) for name, each in other.objective.state_dict().items())
