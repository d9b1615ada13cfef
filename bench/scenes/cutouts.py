"""Cuts people out of photographs and clips by their plain backdrop."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.faces.detect import CenterFace

DATA = Path(os.environ.get("MIEN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FACE_HEIGHT = 150  # px: faces are kept at this height; scenes show them smaller
MATTE_HEIGHT = 220  # px: pictures are segmented at this size
CLIP_FRAMES, CLIP_STRIDE = 48, 2  # of a talking person; every second frame is kept
CLIPS = {
    "grid": ("videos/grid/brbk7n.mpg", "videos/grid/lbbc2a.mpg", "videos/grid/swiz3n.mpg"),
    "intel": (
        "videos/intel/head-pose-face-detection-female.mp4",
        "videos/intel/head-pose-face-detection-male.mp4",
    ),
}

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """One picture of a person: head, shoulders and what more of the body was seen, on nothing."""

    rgba: Image  # (h, w, 4)
    face_xywh: Floats  # (4,) px of the picture, in the detector's convention
    clothes: NDArray[np.bool_]  # (h, w): where clothes are


@dataclass(frozen=True, slots=True)
class Person:
    """A person, in one pose or several."""

    name: str
    poses: tuple[Pose, ...]
    talks: bool  # the poses are the frames of a clip


def names(half: int) -> list[str]:
    """The people of one half (0: to choose on, 1: to report on): every second of each source."""
    london = sorted({path.name[:3] for path in (DATA / "faces/london").glob("*.jpg")})
    canada = sorted(path.stem for path in (DATA / "faces/canada").glob("*.jpg"))
    clips = [path for paths in CLIPS.values() for path in paths]
    sources = ([f"london/{each}" for each in london], [f"canada/{each}" for each in canada], clips)
    return [name for source in sources for name in source[half::2]]


@cache
def person(name: str) -> Person:
    """The person of this name, cut out."""
    if name.startswith("videos/"):
        return Person(name, tuple(_poses(_frames(DATA / name))), talks=True)
    kinds = ("_neutral", "_smiling") if name.startswith("london") else ("",)
    pictures = [_read(DATA / "faces" / f"{name}{kind}.jpg") for kind in kinds]
    return Person(name, tuple(_poses(iter(pictures))), talks=False)


def save(cut: Person, path: Path) -> None:
    """Keep a person that takes long to cut out."""
    poses: dict[str, NDArray[Any]] = {}
    for number, pose in enumerate(cut.poses):
        poses |= {f"{number}.rgba": pose.rgba, f"{number}.face": pose.face_xywh, f"{number}.clothes": pose.clothes}
    head = json.dumps({"name": cut.name, "poses": len(cut.poses), "talks": cut.talks})
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, head=np.array(head), **poses)


def load(path: Path) -> Person:
    """A person that was kept."""
    with np.load(path) as held:
        head = json.loads(str(held["head"]))
        poses = tuple(
            Pose(held[f"{number}.rgba"], held[f"{number}.face"], held[f"{number}.clothes"])
            for number in range(head["poses"])
        )
    return Person(head["name"], poses, head["talks"])


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(path)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _frames(path: Path) -> Iterator[Image]:
    """The first frames of a clip."""
    stream = cv2.VideoCapture(str(path))
    for number in range(CLIP_FRAMES):
        there, frame = stream.read()
        if there and number % CLIP_STRIDE == 0:
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    stream.release()


def _poses(pictures: Iterator[Image]) -> Iterator[Pose]:
    """A pose of each picture that holds one face."""
    detector = CenterFace(precision="fp32")
    for picture in pictures:
        found = detector(picture)
        if found:
            scale = FACE_HEIGHT / float(found[0].box_xywh[3])
            size_wh = [round(side * scale) for side in picture.shape[1::-1]]
            resized = np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
            yield cut_out(resized, found[0].box_xywh * np.float32(scale))


def cut_out(picture_rgb: Image, face_xywh: Floats) -> Pose:
    """The person of a picture with a plain backdrop.

    Args:
        picture_rgb: (H, W, 3) u8; the backdrop reaches its upper corners.
        face_xywh: (4,) px.
    """
    step = picture_rgb.shape[0] / MATTE_HEIGHT
    small = cv2.resize(picture_rgb, (round(picture_rgb.shape[1] / step), MATTE_HEIGHT), interpolation=cv2.INTER_AREA)
    mask = _segmented(np.asarray(small, np.uint8), face_xywh / np.float32(step))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)
    alpha = cv2.resize(np.clip((soft - 0.35) / 0.5, 0, 1), picture_rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    x, y, width, height = face_xywh
    below = (rows > y + 1.18 * height) | ((rows > y + 1.0 * height) & (abs(columns - x - width / 2) > 0.62 * width))
    grown = cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2RGBA)
    grown[..., 3] = (255 * alpha).astype(np.uint8)
    return Pose(np.asarray(grown, np.uint8), face_xywh.astype(np.float32), below & ~_skin(picture_rgb, face_xywh))


def _segmented(picture: Image, face: Floats) -> NDArray[np.bool_]:
    """Where the person is: GrabCut, begun with what differs from a smooth backdrop."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    differs = np.linalg.norm((lab - _backdrop(lab, face)) * (0.6, 1.0, 1.0), axis=2)
    x, y, width, height = face
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    beside = abs(columns - x - width / 2) / width
    mask = np.where(differs > 14, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[(differs > 40) & (beside < 1.2)] = cv2.GC_FGD
    mask[(differs < 5) & (rows < y + 1.1 * height)] = cv2.GC_BGD
    mask[(rows > y + 0.1 * height) & (rows < y + 0.9 * height) & (beside < 0.38)] = cv2.GC_FGD
    mask[(rows >= y + 0.9 * height) & (beside < 0.3 + 0.5 * (rows - y - 0.9 * height) / height)] = cv2.GC_FGD
    mask[(rows < y - 0.75 * height) | ((rows < y + height) & (beside > 1.1)) | (beside > 1.7)] = cv2.GC_BGD
    models = np.zeros((2, 1, 65))
    cv2.grabCut(picture, mask, (0, 0, 1, 1), models[0], models[1], 2, cv2.GC_INIT_WITH_MASK)
    inside = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    inside = np.asarray(cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.uint8)
    _, labels = cv2.connectedComponents(inside)
    middle = labels[min(int(y + height / 2), len(labels) - 1), int(x + width / 2)]
    return np.asarray(labels == middle)


def _backdrop(lab: Floats, face: Floats) -> Floats:
    """A quadratic in x and y through the colours of the upper rim, fitted twice: the second time without outliers."""
    height, width = lab.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    u, v = columns / width - 0.5, rows / height - 0.5
    terms = np.stack([np.ones_like(u), u, v, u * u, v * v, u * v], axis=-1)
    rim = ((columns < 0.08 * width) | (columns > 0.92 * width) | (rows < 0.06 * height)) & (rows < face[1] + face[3])
    for _ in range(2):
        known = np.linalg.lstsq(terms[rim], lab[rim], rcond=None)[0]
        fitted = terms @ known
        off = np.linalg.norm(lab - fitted, axis=2)
        rim &= off < max(3.0, 2.5 * float(np.median(off[rim])))
    return np.asarray(fitted, np.float32)


def _skin(picture: Image, face: Floats) -> NDArray[np.bool_]:
    """Where colours are those of the middle of the face."""
    x, y, width, height = (int(side) for side in face)
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    middle = lab[y + height // 2 : y + 3 * height // 4, x + width // 4 : x + 3 * width // 4].reshape(-1, 3)
    return np.asarray(np.linalg.norm((lab - np.median(middle, axis=0)) * (0.35, 1.0, 1.0), axis=2) < 16)
