"""Which rows an epoch shows, and how often: rare classes up-sampled, or frames per unit and video. Numpy alone."""

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from train.data.faceset import FaceSet
from train.data.labels import Labels
from train.recipe import Data, Recipe

Rows = NDArray[np.int64]
Soft = NDArray[np.float32]


def split(recipe: Recipe, faces: FaceSet, labels: Labels) -> tuple[Rows, Rows]:
    """Rows to learn from and to validate on.

    Raises:
        BadRequest: a picture or a person would be in both, or nothing usable is in one.
    """
    if both := set(recipe.data.train) & set(recipe.data.validation):
        raise BadRequest(f"{recipe.name}: split {sorted(both)[0]!r} is named for training and for validation")
    train, validation = (faces.rows(each) for each in (recipe.data.train, recipe.data.validation))
    subjects = set(faces.subjects[train].tolist()) & set(faces.subjects[validation].tolist()) - {""}
    if subjects:
        raise BadRequest(f"{faces.name}: subject {sorted(subjects)[0]} is in training and in validation")
    known = labels.known
    train, validation = train[labels.usable[train]], validation[known[validation]]
    if len(train) < 2 or not len(validation):
        raise BadRequest(f"{faces.name}: {len(train)} usable faces to train on, {len(validation)} to validate on")
    return train, validation


def epoch(faces: FaceSet, labels: Labels, rows: Rows, data: Data, random: np.random.Generator) -> tuple[Rows, Soft]:
    """Rows of one epoch in random order, and the labels (n, names) that they have in it."""
    if data.balance == "units":
        shown, soft = sampled_units(faces, labels, rows, data.balance_numbers, random)
    else:
        shown = rows
        if data.balance == "oversample":
            shown = oversampled(labels.hard[rows], rows, random)
        elif data.balance == "repeat":
            shown = repeated(labels.hard[rows], rows, *(data.balance_numbers or (0.15,)), random=random)
        soft = labels.soft[shown]
    order = random.permutation(len(shown))
    return shown[order], soft[order]


def oversampled(classes: NDArray[np.int64], rows: Rows, random: np.random.Generator) -> Rows:
    """Every class as often as the most frequent; whole copies first, the rest without repetition."""
    most = int(np.bincount(classes[classes >= 0]).max())
    parts = [rows[classes < 0]]
    for each in np.unique(classes[classes >= 0]):
        some = rows[classes == each]
        times, rest = divmod(most, len(some))
        parts += [np.tile(some, times), random.choice(some, rest, replace=False)]
    return np.concatenate(parts)


def repeated(classes: NDArray[np.int64], rows: Rows, threshold: float, *, random: np.random.Generator) -> Rows:
    """Rows of a class with share f < threshold, repeated √(threshold / f) times on average.

    Source: Gupta, Dollár & Girshick, «LVIS», CVPR 2019, sec. 4.4 (mmcls' ClassBalancedDataset).
    """
    shares = np.bincount(np.maximum(classes, 0)) / len(classes)
    wanted = np.maximum(1.0, np.sqrt(threshold / np.maximum(shares, 1e-12)))[np.maximum(classes, 0)]
    times = np.floor(wanted + random.random(len(wanted))).astype(np.int64)
    return np.repeat(rows, times)


def sampled_units(
    faces: FaceSet, labels: Labels, rows: Rows, numbers: tuple[float, ...], random: np.random.Generator
) -> tuple[Rows, Soft]:
    """Per video and unit so many frames with and without it; for the other units such a frame says nothing.

    Source: Zhao, Chu & Zhang (CVPR 2016), sec. 4.1: 100 positive and 200 negative frames.
    """
    positives, negatives = (int(number) for number in (numbers or (100, 200)))
    soft = np.zeros_like(labels.soft)
    videos = np.array([key.rpartition("/")[0] for key in faces.keys[rows].tolist()])
    for video in np.unique(videos):
        here = rows[videos == video]
        for unit in range(soft.shape[1]):
            for sign, most in ((1.0, positives), (-1.0, negatives)):
                some = here[labels.soft[here, unit] == sign]
                some = random.choice(some, most, replace=False) if len(some) > most else some
                soft[some, unit] = sign
    shown = rows[(soft[rows] != 0).any(1)]
    return shown, soft[shown]
