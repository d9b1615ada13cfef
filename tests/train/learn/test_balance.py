import dataclasses

import numpy as np
import pytest

from contract.errors import BadRequest
from train.data.faceset import FaceSet, Shelf
from train.data.labels import labels_of
from train.learn import balance
from train.recipe import Data, read_recipe


def faces(kind: str, targets: list[list[int]], keys: list[str], subjects: list[str] | None = None) -> FaceSet:
    count, names = len(targets), ("neutral", "anger") if kind == "class" else ("AU1", "AU2")
    numbers = np.zeros(count, np.float32)
    words = np.array(subjects or [""] * count)
    splits = np.where(np.arange(count) < count // 2, "train", "validation")
    shelf = Shelf([np.zeros((count, 8, 8, 1), np.uint8)])
    return FaceSet("s", kind, names, shelf, np.array(targets, np.uint8), splits, words, np.array(keys), numbers, numbers, None, "")  # fmt: skip  # noqa: E501


RANDOM = np.random.default_rng(0)
ROWS = np.arange(10)
RARE = np.array([0] * 8 + [1] * 2)


def test_oversampling_shows_each_class_equally_often_and_every_row() -> None:
    shown = balance.oversampled(RARE, ROWS, RANDOM)
    assert np.bincount(RARE[shown]).tolist() == [8, 8]
    assert set(shown.tolist()) == set(range(10))
    assert np.bincount(shown)[8:].tolist() == [4, 4]


def test_repeating_follows_the_square_root() -> None:
    rows, classes = np.arange(10_000), np.repeat([0, 1], [9_600, 400])  # share 0.04 under a threshold of 0.16: twice
    shown = balance.repeated(classes, rows, 0.16, random=RANDOM)
    assert np.bincount(classes[shown]).tolist() == [9_600, 800]


def test_units_are_sampled_per_video_and_the_rest_says_nothing() -> None:
    keys = [f"{video}/{frame:03d}" for video in ("A/T1", "B/T1") for frame in range(50)]
    targets = [[int(frame < 10), 255] for _ in range(2) for frame in range(50)]
    some = faces("presence", targets, keys)
    labels = labels_of(some, "units")
    shown, soft = balance.sampled_units(some, labels, np.arange(100), (4, 8), RANDOM)
    for video in (shown < 50, shown >= 50):
        assert (soft[video, 0] == 1).sum() == 4
        assert (soft[video, 0] == -1).sum() == 8
    assert len(shown) == 24
    assert not soft[:, 1].any()


def test_an_epoch_is_the_same_for_the_same_seed_and_labels_go_with_their_rows() -> None:
    some = faces("class", [[n % 2] for n in range(10)], [str(n) for n in range(10)])
    labels = labels_of(some, "class")
    one = balance.epoch(some, labels, ROWS, Data("class"), np.random.default_rng(3))
    same = balance.epoch(some, labels, ROWS, Data("class"), np.random.default_rng(3))
    assert one[0].tolist() == same[0].tolist() != ROWS.tolist()
    assert (one[1].argmax(1) == one[0] % 2).all()


def test_a_person_in_both_splits_is_refused() -> None:
    recipe = read_recipe("dacl-rafdb")
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=("validation",)))
    some = faces("class", [[0], [1], [0], [1]], list("abcd"), ["x", "y", "y", "z"])
    with pytest.raises(BadRequest, match="subject y is in training and in validation"):
        balance.split(recipe, some, labels_of(some, "class"))
    double = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=("train",)))
    with pytest.raises(BadRequest, match="'train' is named for training and for validation"):
        balance.split(double, some, labels_of(some, "class"))


def test_rows_without_a_label_are_neither_learnt_nor_judged() -> None:
    recipe = read_recipe("dacl-rafdb")
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=("validation",)))
    some = faces("class", [[0], [255], [1], [0], [255], [1]], list("abcdef"))
    train, validation = balance.split(recipe, some, labels_of(some, "class"))
    assert (train.tolist(), validation.tolist()) == ([0, 2], [3, 5])
