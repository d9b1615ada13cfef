"""What a loss and a metric take of a set's targets. Numpy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from contract.labels import EXPRESSIONS
from train.data import votes
from train.data.faceset import FaceSet

MISSING = 255


@dataclass(frozen=True, slots=True)
class Labels:
    """One row per face of a set."""

    names: tuple[str, ...]  # in the order of the net's outputs
    soft: NDArray[np.float32]  # (N, names): shares that sum to one; of units −1 absent, 0 unknown, 1 present
    hard: NDArray[np.int64]  # (N,) the class, −1 for none; (N, names) of units, −1 unknown, else 0 or 1
    usable: NDArray[np.bool_]  # (N,) there is something to learn from

    @property
    def are_units(self) -> bool:
        """Several may hold at once."""
        return self.hard.ndim == 2

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) there is something to judge by."""
        flat = self.hard.reshape(len(self.hard), -1)
        return np.asarray((flat >= 0).any(axis=1), np.bool_)


def labels_of(faces: FaceSet, word: str, active_from: int = 2) -> Labels:
    """The labels of a set, expressions in the order of `contract.labels.EXPRESSIONS`.

    Args:
        faces: of any kind.
        word: «soft», «majority» or «argmax» of votes; «class»; «units» (an intensity of `active_from` is present).
        active_from: 1..5.

    Raises:
        BadRequest: the set has no such labels.
    """
    fits = {
        "votes": ("soft", "majority", "argmax"),
        "class": ("class",),
        "intensity": ("units",),
        "presence": ("units",),
    }
    if word not in fits[faces.kind]:
        raise BadRequest(
            f"labels = {word!r}: {faces.name} has {faces.kind}, which gives {' or '.join(fits[faces.kind])}"
        )
    if word == "units":
        return _units(faces, active_from if faces.kind == "intensity" else 1)
    if word == "class":
        return _classes(faces)
    shares = votes.shares(faces.targets)
    hard = votes.argmax(faces.targets) if word == "argmax" else votes.majority(faces.targets)
    if word == "soft":  # 27,698 of the 27,866 training faces without leaks: some expression wins
        return Labels(EXPRESSIONS, shares, hard, votes.argmax(faces.targets) >= 0)
    return Labels(EXPRESSIONS, _one_hot(hard, len(EXPRESSIONS)), hard, hard >= 0)


def _one_hot(hard: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    return np.where(hard[:, None] >= 0, np.eye(classes, dtype=np.float32)[hard], 0).astype(np.float32)


def _classes(faces: FaceSet) -> Labels:
    ours = set(faces.names) <= set(EXPRESSIONS)
    names = tuple(name for name in EXPRESSIONS if name in faces.names) if ours else faces.names
    place = np.full(256, -1)
    place[: len(faces.names)] = [names.index(name) for name in faces.names]
    hard = place[faces.targets[:, 0]]
    return Labels(names, _one_hot(hard, len(names)), hard, hard >= 0)


def _units(faces: FaceSet, active_from: int) -> Labels:
    known = faces.targets != MISSING
    present = faces.targets >= active_from
    hard = np.where(known, present, -1).astype(np.int64)
    soft = np.where(known, np.where(present, 1.0, -1.0), 0.0).astype(np.float32)
    return Labels(faces.names, soft, hard, known.any(1))
