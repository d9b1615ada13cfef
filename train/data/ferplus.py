"""FER+: FER2013's 48-px grey faces with the votes of ten taggers.

Source: Barsoum, Zhang, Canton Ferrer, Zhang, «Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution», ICMI 2016; votes MIT (microsoft/FERPlus). The pictures were collected from the web
for the 2013 challenge: for internal training only, never redistributed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource
from contract.labels import EXPRESSIONS
from ingest.faces.align import TEMPLATE, cut
from ingest.faces.detect import CenterFace

VOTES = (*EXPRESSIONS, "unknown", "NF")
PAD = 12  # px of replicated border on each side: the pictures are cut too tight for a detector
ENLARGED = 192  # px edge at which the detector looks at a padded picture


@dataclass(frozen=True, slots=True)
class FerPlus:
    """One split."""

    images: NDArray[np.uint8]  # (N, 48, 48) grey
    votes: NDArray[np.uint8]  # (N, 10) in the order of VOTES
    rows: NDArray[np.int64]  # (N,) row in fer2013.csv

    def __len__(self) -> int:
        return len(self.images)


def read_npz(*paths: Path) -> FerPlus:
    """The pictures and votes of one or several npz files, in order.

    Raises:
        BadSource: a file is missing, is no npz, or lacks a field or has it in another shape.
    """
    parts = [_read_one(path) for path in paths]
    return FerPlus(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "votes", "rows")))


def _read_one(path: Path) -> FerPlus:
    try:
        with np.load(path, allow_pickle=False) as fields:
            part = FerPlus(fields["images"], fields["votes"], fields["fer_row"].astype(np.int64))
    except (OSError, KeyError, ValueError) as error:
        raise BadSource(f"{path}: no FER+ npz with images, votes and fer_row ({error})") from error
    if part.images.shape[1:] != (48, 48) or part.votes.shape != (len(part.images), len(VOTES)):
        raise BadSource(
            f"{path}: images {part.images.shape} and votes {part.votes.shape}, wanted (N, 48, 48) and (N, {len(VOTES)})"
        )
    return part


def kept_votes(votes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The votes without outliers: a word that one tagger alone chose does not count (Barsoum et al. 2016)."""
    return np.where(votes > 1, votes, 0).astype(np.uint8)


def majority(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(N,) expression with more than half of the kept votes; −1 where there is none."""
    kept = kept_votes(votes).astype(np.int64)
    winner = kept.argmax(1)
    holds = (kept.max(1) * 2 > kept.sum(1)) & (winner < len(EXPRESSIONS))
    return np.where(holds, winner, -1)


def argmax(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(N,) expression with the most kept votes; −1 where «unknown», «NF» or nothing wins."""
    kept = kept_votes(votes).astype(np.int64)
    winner = kept.argmax(1)
    return np.where((kept.max(1) > 0) & (winner < len(EXPRESSIONS)), winner, -1)


def find_landmarks(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], detector: CenterFace
) -> NDArray[np.float32]:
    """(N, 5, 2) landmarks in px of the 48-px pictures; the median geometry where no face is found."""
    found = np.full((len(images), 5, 2), np.nan, np.float32)
    scale = ENLARGED / (48 + 2 * PAD)
    for row, image in enumerate(images):
        padded = cv2.copyMakeBorder(image, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE)
        enlarged = cv2.resize(padded, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)
        faces = detector(np.repeat(enlarged[..., None], 3, axis=2))
        if faces:
            best = max(faces, key=lambda face: face.score)
            found[row] = best.landmarks / scale - PAD
    seen = found[~np.isnan(found[:, 0, 0])]
    median = np.median(seen, axis=0) if len(seen) else TEMPLATE * 48
    found[np.isnan(found[:, 0, 0])] = median
    return found


def cut_crops(images: NDArray[np.uint8], landmarks: NDArray[np.float32], edge: int) -> NDArray[np.uint8]:
    """(N, edge, edge, 3) crops in the geometry of live ones."""
    return np.stack(
        [
            cut(np.repeat(image[..., None], 3, axis=2), points, edge)
            for image, points in zip(images, landmarks, strict=True)
        ]
    )
