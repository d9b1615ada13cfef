"""A data set becomes a prepared set: faces found and cut by the code that cuts live ones, in shards; it resumes."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import BadOutput, BadSource, UnreadableVideo
from ingest.faces.align import TEMPLATE, DegenerateLandmarks, cut, similarity
from ingest.faces.detect import CenterFace
from ingest.faces.quality import sharpness
from runtime.files import whole_file, write_whole
from train.data.faceset import FIELDS, MANIFEST, SCHEMA, digest_of
from train.data.landmarks import TIGHT, completed, find
from train.data.layout import Example, Layout

EDGE = 128  # px: the nets' 112 and room to shift
SHARD_BYTES = 64 << 20
UNSEEN = -1.0  # in the file of landmarks: not looked at yet

Report = Callable[[str, int, int], None]
"""Called with a stage, how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How faces are stored."""

    edge: int = EDGE
    whole: bool = False  # keep the pictures, all of one size, and where the crop lies, instead of the crops


def prepare(layout: Layout, folder: Path, plan: Plan = Plan(), report: Report = lambda *_: None) -> dict[str, Any]:
    """Write the prepared set and return its manifest; what an interrupted run finished is kept.

    Raises:
        BadSource: the folder holds another set; a picture that cannot be opened or has another size than the first.
        BadOutput: the folder cannot be written.
    """
    key = _key(layout, plan)
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder, key)
        found = _landmarks(layout, folder, report)
        rows, points = _usable(layout, found)
        shards = list(_shards(layout, rows, points, folder, plan, report))
        return finish(layout, folder, plan, shards, len(layout.examples) - len(rows))


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Errors of the disk as an error of ours.

    Raises:
        BadOutput: the disk refused something inside the block.
    """
    try:
        yield
    except OSError as error:
        raise BadOutput(f"{folder}: cannot be written ({error.strerror or error})") from error


def _key(layout: Layout, plan: Plan) -> str:
    """Changes with every example and option, so that shards of another run are never mixed in."""
    digest = hashlib.sha256(repr((layout.name, layout.names, plan, TEMPLATE.tolist())).encode())
    for example in layout.examples:
        digest.update(repr((example.key, example.target, example.split, example.subject)).encode())
    return digest.hexdigest()


def claim(folder: Path, key: str) -> None:
    """Take an empty folder for the set of this key, or go on with it.

    Raises:
        BadSource: the folder holds another set, or something else.
    """
    sign = folder / ".key"
    if sign.is_file() and sign.read_text() != key:
        raise BadSource(f"{folder}: holds another set or other options; choose an empty folder")
    if not sign.is_file() and any(folder.iterdir()):
        raise BadSource(f"{folder}: is not empty and holds no set of faces; choose an empty folder")
    sign.write_text(key)


def _landmarks(layout: Layout, folder: Path, report: Report) -> NDArray[np.float32]:
    """(N, 5, 2) by the detector, kept on the disk as they are found; NaN where no face is."""
    path, count = folder / ".landmarks.npy", len(layout.examples)
    if not path.is_file():
        np.save(path, np.full((count, 5, 2), UNSEEN, np.float32))
    found = np.load(path, mmap_mode="r+", allow_pickle=False)
    detector = CenterFace()
    for row in np.flatnonzero((found == UNSEEN).all((1, 2))).tolist():
        example = layout.examples[row]
        found[row] = find(picture_of(example), detector, example.box_xywh)
        report("looking for faces", row + 1, count)
    found.flush()
    return np.array(found)


def picture_of(example: Example) -> NDArray[np.uint8]:
    """(H, W) grey or (H, W, 3) RGB.

    Raises:
        UnreadableVideo: the file is no picture.
    """
    if not isinstance(example.picture, Path):
        return example.picture
    picture = cv2.imread(str(example.picture), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise UnreadableVideo(f"{example.picture}: cannot be opened as a picture")
    return np.asarray(picture, np.uint8)


def _usable(layout: Layout, found: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows whose face has a place, and its landmarks: found, else published, else the median of tight pictures."""
    points = found.copy()
    size = picture_of(layout.examples[0]).shape[:2]
    median = completed(found, max(size))
    for row in np.flatnonzero(np.isnan(found[:, 0, 0])).tolist():
        example = layout.examples[row]
        if example.landmarks is not None:
            points[row] = example.landmarks
        elif max(size) <= TIGHT and picture_of(example).shape[:2] == size:
            points[row] = median[row]
    usable = np.array([_spans_a_face(some) for some in points])
    if not usable.any():
        raise BadSource(f"{layout.name}: no face was found in {len(points):,} pictures")
    return np.flatnonzero(usable), points[usable]


def _spans_a_face(points: NDArray[np.float32]) -> bool:
    try:
        similarity(points)
    except DegenerateLandmarks:
        return False
    return True


def _shards(
    layout: Layout, rows: NDArray[np.int64], points: NDArray[np.float32], folder: Path, plan: Plan, report: Report
) -> Iterator[dict[str, Any]]:
    first = picture_of(layout.examples[rows[0]])
    channels = 1 if first.ndim == 2 else 3
    shape = (*first.shape[:2], channels) if plan.whole else (plan.edge, plan.edge, channels)
    per_shard = max(1, SHARD_BYTES // int(np.prod(shape)))
    for number, start in enumerate(range(0, len(rows), per_shard)):
        report("cutting", start, len(rows))
        some = slice(start, start + per_shard)
        pictures, index = folder / f"{number:05d}.npy", folder / f"{number:05d}.index.npz"
        if not (pictures.is_file() and index.is_file()):
            examples = [layout.examples[row] for row in rows[some]]
            crops, fields = _cut(examples, points[some], shape, plan)
            save(pictures, crops)
            save(index, fields)
        hashes = {"sha256": sha256(pictures), "index_sha256": sha256(index)}
        yield {"file": pictures.name, "index": index.name, "rows": len(rows[some]), **hashes}
    report("cutting", len(rows), len(rows))


def _cut(
    examples: Sequence[Example], points: NDArray[np.float32], shape: tuple[int, int, int], plan: Plan
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    kept = np.empty((len(examples), *shape), np.uint8)
    sharp, maps = np.empty(len(examples), np.float32), np.empty((len(examples), 2, 3), np.float32)
    for place, (example, some) in enumerate(zip(examples, points, strict=True)):
        picture = picture_of(example)
        colour = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
        crop = cut(colour, some, plan.edge)
        if plan.whole and (*picture.shape[:2], shape[2]) != shape:
            raise BadSource(
                f"{example.key}: {picture.shape[1]}×{picture.shape[0]} px, the first is {shape[1]}×{shape[0]}"
            )
        kept[place] = (colour if plan.whole else crop)[..., : shape[2]]
        sharp[place], maps[place] = sharpness(crop), inverse(similarity(some))
    fields: dict[str, NDArray[Any]] = {
        "targets": np.array([example.target for example in examples], np.uint8),
        "splits": np.array([example.split for example in examples]),
        "subjects": np.array([example.subject for example in examples]),
        "keys": np.array([example.key for example in examples]),
        "face_px": np.hypot(maps[:, 0, 0], maps[:, 1, 0]),
        "sharpness": sharp,
    }
    return kept, fields | ({"to_picture": maps} if plan.whole else {})


def inverse(to_crop: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) matrix that undoes one."""
    back = np.linalg.inv(to_crop[:, :2])
    return np.column_stack([back, -back @ to_crop[:, 2]])


def save(path: Path, content: NDArray[np.uint8] | dict[str, NDArray[Any]]) -> None:
    """The file is there whole or not at all."""
    with whole_file(path) as file:
        if isinstance(content, dict):
            np.savez(file, allow_pickle=False, **{name: content[name] for name in FIELDS if name in content})
        else:
            np.save(file, content, allow_pickle=False)


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finish(layout: Layout, folder: Path, plan: Plan, shards: Sequence[dict[str, Any]], left_out: int) -> dict[str, Any]:
    """Count what lies in the shards, write the manifest, and return it."""
    splits: dict[str, int] = {}
    for shard in shards:
        with np.load(folder / shard["index"], allow_pickle=False) as fields:
            for split, count in zip(*np.unique(fields["splits"], return_counts=True), strict=True):
                splits[str(split)] = splits.get(str(split), 0) + int(count)
    manifest = {
        "schema": SCHEMA,
        "name": layout.name,
        "task": layout.task,
        "kind": layout.kind,
        "names": list(layout.names),
        "count": sum(splits.values()),
        "splits": splits,
        "left_out": left_out,  # no face was found, and none was published
        "geometry": {"template": TEMPLATE.tolist(), "edge": plan.edge, "whole_pictures": plan.whole},
        "shards": list(shards),
        "sha256": digest_of(shards),
    }
    write_whole(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    return manifest
