import dataclasses
from pathlib import Path

import pytest

from contract.errors import BadRequest
from train.learn.objective import Objective
from train.recipe import names, read_recipe

GOOD = """name = "a"
source = "b"

[net]
name = "fcanet18"
edge = 32

[data]
labels = "class"

[optimiser]
name = "sgd"
rate = 0.1

[run]
epochs = 2
batch = 8
"""

FAULTS = [
    ("rate = 0.1", "rate = 0.1\nspeed = 3", ":14: optimiser.speed: no such key; [optimiser] has name, rate"),
    ("rate = 0.1", 'rate = "fast"', ":13: optimiser.rate: is 'fast', wanted a number"),
    ("epochs = 2", "epochs = 2.5", ":16: run.epochs: is 2.5, wanted a whole number"),
    ("epochs = 2", "epochs = true", ":16: run.epochs: is True, wanted a whole number"),
    ("epochs = 2", "epochs = 0", ":16: run.epochs: is 0, wanted 1 to"),
    ('labels = "class"', 'labels = "moods"', ":9: data.labels: is 'moods', wanted one of soft"),
    ('labels = "class"', 'labels = "class"\nmean = [0.5]', ":10: data.mean: has 1 numbers, wanted 3"),
    ("rate = 0.1", "", ":11: optimiser.rate: is missing"),
    ("[run]", "[ran]", ":15: ran: no such key"),
    ("[data]\n", "[data]\n[data]\n", "no TOML"),
]


@pytest.mark.parametrize(("old", "new", "wanted"), FAULTS)
def test_a_fault_is_one_error_with_file_and_line(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(GOOD.replace(old, new))

    with pytest.raises(BadRequest) as caught:
        read_recipe(path)

    assert str(caught.value).startswith(str(path))
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_recipes_that_come_along() -> None:
    with pytest.raises(BadRequest, match=r"dacl-rafdb.*tiny"):
        read_recipe("dacl-rafbd")


def test_a_recipe_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(GOOD)
    recipe = read_recipe(tmp_path / "r.toml")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", names())
def test_every_recipe_reads_and_its_net_takes_its_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    seen: dict[str, object] = {}
    monkeypatch.setattr("train.learn.objective.build", lambda net, **options: seen.update(net=net, **options))

    if not recipe.net.stem_epochs:  # that one asks for a real TransFER
        Objective(recipe, 8)

        from models.nets import options

        assert set(seen) - {"net"} <= set(options(recipe.net.name))


PUBLISHED = {
    # DACL: its main.py; FcaNet: section 4.1, 0.1 per 256 of batch; TransFER: Paddle configuration; DRML: section 4
    "dacl-rafdb": {
        "optimiser.rate": 0.01,
        "optimiser.weight_decay": 5e-4,
        "run.batch": 64,
        "run.epochs": 60,
        "schedule.milestones": (20, 40),
        "loss.centre_weight": 0.01,
        "loss.centre_rate": 0.5,
        "net.edge": 224,
    },
    "transfer-rafdb": {
        "optimiser.rate": 1e-4,
        "optimiser.weight_decay": 1e-4,
        "run.batch": 64,
        "run.epochs": 40,
        "schedule.milestones": (15, 30),
        "net.options": {"mad": 0.6, "msad_rate": 0.3},
        "augment.random_layers": 2,
        "augment.random_magnitude": 5,
        "augment.erase": 0.5,
    },
    "fcanet34-imagenet": {
        "optimiser.rate": 0.1 * 1024 / 256,
        "run.batch": 1024,
        "run.epochs": 100,
        "schedule.warmup_epochs": 5,
        "loss.smoothing": 0.1,
        "optimiser.weight_decay": 1e-4,
        "augment.area": (0.1, 1.0),
        "augment.ratio": (0.8, 1.25),
    },
    "drml-bp4d": {
        "optimiser.rate": 1e-3,
        "optimiser.momentum": 0.9,
        "optimiser.weight_decay": 5e-4,
        "schedule.milestones": (8000,),
        "schedule.unit": "iterations",
        "augment.share": 170 / 200,
        "data.balance_numbers": (100, 200),
    },
    "drml-disfaplus": {"optimiser.weight_decay": 5e-4, "run.batch": 64, "run.epochs": 20, "data.active_from": 2},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_stand_in_the_recipe(name: str) -> None:
    recipe = read_recipe(name)
    for key, wanted in PUBLISHED[name].items():
        table, _, field = key.partition(".")
        assert getattr(getattr(recipe, table), field) == wanted, key
