"""FER+: FER2013's 48-px grey faces with the votes of ten taggers.

Source: Barsoum, Zhang, Canton Ferrer, Zhang, «Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution», ICMI 2016; votes MIT (microsoft/FERPlus). The pictures were collected from the web
for the 2013 challenge: for internal training only, never redistributed.
"""

import dataclasses
import itertools
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource, SourceNotFound
from contract.labels import EXPRESSIONS
from ingest.faces.align import cut
from ingest.faces.detect import CenterFace
from train.data.landmarks import completed, find
from train.data.layout import Example, Layout, Row, columns, present, rows
from train.data.votes import argmax, kept_votes, majority

VOTES = (*EXPRESSIONS, "unknown", "NF")
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
USAGES = ("train", "validation", "test")  # as the npz files number them
PICTURES, TAGS = "fer2013.csv", "fer2013new.csv"
LEAKING = "leaking_train_rows.txt"
EDGE = 48  # px
TAGGERS = 10

__all__ = ["FerPlus", "argmax", "cut_crops", "find_landmarks", "kept_votes", "majority", "read", "read_npz"]


@dataclass(frozen=True, slots=True)
class FerPlus:
    """Pictures and votes of an npz file."""

    images: NDArray[np.uint8]  # (N, 48, 48) grey
    votes: NDArray[np.uint8]  # (N, 10) in the order of VOTES
    rows: NDArray[np.int64]  # (N,) row in fer2013.csv
    usage: NDArray[np.int64]  # (N,) index of USAGES; 0 where the file does not say

    def __len__(self) -> int:
        return len(self.images)


def read_npz(*paths: Path) -> FerPlus:
    """The pictures and votes of one or several npz files, in order.

    Raises:
        BadSource: a file is missing, is no npz, or lacks a field or has it in another shape.
    """
    parts = [_read_one(path) for path in paths]
    return FerPlus(*(np.concatenate([getattr(part, name) for part in parts]) for name in FerPlus.__slots__))


def _read_one(path: Path) -> FerPlus:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as fields:
            usage = fields["usage"] if "usage" in fields.files else np.zeros(len(fields["images"]))
            part = FerPlus(
                fields["images"], fields["votes"], fields["fer_row"].astype(np.int64), usage.astype(np.int64)
            )
    except (OSError, KeyError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise BadSource(f"{path}: no FER+ npz with images, votes and fer_row ({error})") from error
    if part.images.shape[1:] != (EDGE, EDGE) or part.votes.shape != (len(part.images), len(VOTES)):
        raise BadSource(
            f"{path}: images {part.images.shape} and votes {part.votes.shape}, wanted (N, 48, 48) and (N, {len(VOTES)})"
        )
    if part.images.dtype != np.uint8 or part.votes.max(initial=0) > TAGGERS or part.usage.max(initial=0) > 2:
        raise BadSource(f"{path}: votes above {TAGGERS}, usage above 2, or images that are not u8")
    return part


def read(path: Path) -> Layout:
    """FER+ in this place: an npz file, a folder of them, or a folder with fer2013.csv and fer2013new.csv.

    Training pictures that are pixel for pixel a validation or test picture, or that leaking_train_rows.txt beside the
    data names, get the split «leaking», so that nothing trains on them.

    Raises:
        BadSource: another layout; a row, pixel, vote or usage that cannot be; the two tables disagree; file and line.
    """
    examples = _of_tables(path) if (path / PICTURES).is_file() or (path / TAGS).is_file() else _of_arrays(path)
    return present(Layout("FER+", "votes", VOTES, _without_leaks(examples, path)))


def _of_arrays(path: Path) -> list[Example]:
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise SourceNotFound(f"{path}: neither {PICTURES} with {TAGS} nor an npz of FER+ is there")
    all_ = read_npz(*files)
    fields = zip(all_.images, all_.votes.tolist(), all_.rows.tolist(), all_.usage.tolist(), strict=True)
    return [Example(f"{row:05d}", image, tuple(votes), USAGES[usage]) for image, votes, row, usage in fields]


def _of_tables(folder: Path) -> list[Example]:
    """Line n of one table speaks of line n of the other."""
    pictures, tags = rows(folder / PICTURES, delimiter=","), rows(folder / TAGS, delimiter=",")
    pixels_at, usage_at = columns(next(pictures), ("pixels", "Usage"))
    split_at, *votes_at = columns(next(tags), ("Usage", *VOTES))
    examples = []
    for number, (picture, tag) in enumerate(itertools.zip_longest(pictures, tags)):
        if picture is None or tag is None:
            raise (picture or tag).error(f"no row {number + 1} in {TAGS if tag is None else PICTURES}")
        usage = picture.fields[usage_at].strip() if usage_at < len(picture.fields) else ""
        if usage not in SPLITS or tag.fields[split_at].strip() != usage:
            raise picture.error(f"usage {usage!r}, wanted one of {', '.join(SPLITS)}, the same in both tables")
        votes = tuple(tag.whole(place, name, 0, TAGGERS) for place, name in zip(votes_at, VOTES, strict=True))
        examples.append(Example(f"{number:05d}", _pixels(picture, pixels_at), votes, SPLITS[usage]))
    return examples


def _pixels(row: Row, place: int) -> NDArray[np.uint8]:
    try:
        values = np.array(row.fields[place].split(), np.int64).reshape(EDGE, EDGE)
    except ValueError:
        raise row.error(f"{len(row.fields[place].split())} pixels, wanted {EDGE * EDGE} whole numbers") from None
    if values.min() < 0 or values.max() > 255:
        raise row.error(f"pixels {values.min()}..{values.max()}, wanted 0..255")
    return values.astype(np.uint8)


def _without_leaks(examples: list[Example], path: Path) -> list[Example]:
    file = (path if path.is_dir() else path.parent) / LEAKING
    named = {f"{row.whole(0, 'the row', 0, 40_000):05d}" for row in rows(file)} if file.is_file() else set()
    held_back = {np.asarray(each.picture).tobytes() for each in examples if each.split != "train"}
    return [
        dataclasses.replace(each, split="leaking")
        if each.split == "train" and (each.key in named or np.asarray(each.picture).tobytes() in held_back)
        else each
        for each in examples
    ]


def find_landmarks(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], detector: CenterFace
) -> NDArray[np.float32]:
    """(N, 5, 2) landmarks in px of the 48-px pictures; the median geometry where no face is found."""
    return completed(np.stack([find(image, detector) for image in images]), EDGE)


def cut_crops(images: NDArray[np.uint8], landmarks: NDArray[np.float32], edge: int) -> NDArray[np.uint8]:
    """(N, edge, edge, 3) crops in the geometry of live ones."""
    return np.stack(
        [
            cut(np.repeat(image[..., None], 3, axis=2), points, edge)
            for image, points in zip(images, landmarks, strict=True)
        ]
    )
