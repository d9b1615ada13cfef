"""Small things to train on: faces are patterns that a net tells apart after a few steps, on the CPU in seconds."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.labels import EXPRESSIONS
from train.__main__ import train
from train.data.faceset import FaceSet, Shelf, pack
from train.recipe import read_recipe

# Triton before Mesa: each brings its own LLVM, and Triton's first import after a face was drawn ends in a crash.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

RECIPE = """
name = "mini"
source = "made for this test"
[net]
name = "transfer"
edge = 16
options = {{ {options} }}
[data]
labels = "{labels}"
grey = true
[augment]
flip = 0.5
shift = 0.05
erase = 0.3
[loss]
mixup = {mixup}
[optimiser]
name = "{optimiser}"
rate = {rate}
clip = 5.0
average = {average}
[schedule]
kind = "cosine"
warmup_epochs = 0.5
[run]
epochs = {epochs}
batch = 16
channels_last = false
"""
OPTIONS = 'stem_units = [1, 1, 1], width = 16, depth = 1, heads = 2, mad = 0.2, head = "random"'
DEFAULTS = {
    "labels": "class",
    "mixup": "0.2",
    "optimiser": "sgd",
    "rate": "0.05",
    "average": "0.9",
    "epochs": "4",
    "options": OPTIONS,
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # equal sums in equal order, and a shared machine


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes the recipe of these tests with some numbers changed."""

    def write(**changes: str) -> Path:
        path = tmp_path / f"recipe-{len(list(tmp_path.glob('recipe-*')))}.toml"
        path.write_text(RECIPE.format(**(DEFAULTS | changes)))
        return path

    return write


def patterned(count: int, classes: int = 2, seed: int = 0, edge: int = 16) -> FaceSet:
    """Noise with a bright band whose height tells the class; the last quarter is for validation."""
    random = np.random.default_rng(seed)
    classes_ = random.integers(0, classes, count)
    pictures = random.integers(0, 120, (count, edge, edge, 1))
    for picture, each in zip(pictures, classes_, strict=True):
        begin = edge * each // classes
        picture[begin : begin + edge // classes] += 110
    return FaceSet(
        name="patterns",
        kind="class",
        names=EXPRESSIONS[:classes],
        pictures=Shelf([pictures.astype(np.uint8)]),
        targets=classes_.astype(np.uint8)[:, None],
        splits=np.where(np.arange(count) < count * 3 // 4, "train", "validation"),
        subjects=np.full(count, ""),
        keys=np.array([f"{row:04d}" for row in range(count)]),
        face_px=np.linspace(20, 60, count).astype(np.float32),
        sharpness=np.linspace(0, 1, count).astype(np.float32),
        to_picture=None,
        digest=hashlib.sha256(pictures.tobytes()).hexdigest(),
    )


@pytest.fixture(scope="session")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed set of 96 patterns of two classes."""
    path = tmp_path_factory.mktemp("set") / "patterns.npz"
    pack(patterned(96), path)
    return path


@pytest.fixture(scope="session")
def learnt(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a net that learnt the patterns."""
    folder = tmp_path_factory.mktemp("learnt")
    numbers = {"optimiser": "adamw", "rate": "0.003", "mixup": "0.0", "epochs": "8"}
    (folder / "recipe.toml").write_text(RECIPE.format(**(DEFAULTS | numbers)))
    train(read_recipe(folder / "recipe.toml"), patterns, folder / "run", device="cpu")
    return folder / "run" / "weights.safetensors"
