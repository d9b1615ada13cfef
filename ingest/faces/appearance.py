"""What a person looks like from a distance: colours of face, hair and clothes.

Used to tell people apart when they cross, and to know them again when they return within one session. It is
kept in the memory of the process, for the session and the latest people only, and never leaves it. It is no template
of a face: three colour histograms, which change with the shirt.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

PARTS = np.array([(0.15, 0.2, 0.85, 0.95), (-0.05, -0.3, 1.05, 0.12), (-0.35, 1.15, 1.35, 1.8)], np.float32)
"""Face, hair and clothes as (left, top, right, bottom) in fractions of the face box."""

BINS = (6, 10, 10)  # luminance; the two colour differences from 88 to 168, which people seldom leave
_GREY, _COLOUR = (np.arange(256) * BINS[0] // 256, np.clip((np.arange(256) - 88) * BINS[1] // 80, 0, BINS[1] - 1))
_LEVELS = np.stack([_GREY, _COLOUR, _COLOUR], axis=1).astype(np.uint8)[None]  # (1, 256, 3)

LEAST_PIXELS = 30
EDGE = 0.2  # of the face: nearer to the edge of the frame it may be cut off
LEAST_SEEN = 0.35  # share of a part that nobody else may cover


@dataclass(frozen=True, slots=True)
class Look:
    """Colour histograms of the parts, square roots taken, each of length one; a part that was hidden is zero."""

    parts: Floats  # (parts, bins)
    seen: Floats  # (parts,): how much of each was seen, 0..1
    clear: bool  # the whole face is in the frame and nobody is near enough to lend colours

    def distances(self, other: "Look") -> Floats:
        """The distance of each part, (parts,): 0 (same colours) .. 1 (none in common). Source: Hellinger 1909."""
        return np.asarray(np.sqrt(np.clip(1.0 - (self.parts * other.parts).sum(axis=1), 0.0, 1.0)), np.float32)

    def blended(self, newer: "Look", share: float) -> "Look":
        """This look with a share of a newer one, part by part as far as the newer shows it; what is clear stays so."""
        if self.clear != newer.clear:
            return self if self.clear else newer
        shares = np.where(self.seen > 0, share, 1.0) * (newer.seen > 0)
        parts = (1 - shares)[:, None] * self.parts**2 + shares[:, None] * newer.parts**2
        return Look(np.sqrt(parts).astype(np.float32), np.maximum(self.seen, newer.seen), self.clear)


def looks(picture_rgb: Image, boxes_xywh: Floats) -> list[Look]:
    """The look of each face box (n, 4), without what nearer people (larger boxes, lower chins) cover."""
    if not len(boxes_xywh):
        return []
    nearness = boxes_xywh[:, 1] + boxes_xywh[:, 3] + boxes_xywh[:, 3]
    found = []
    for i, box in enumerate(boxes_xywh):
        others = [each for j, each in enumerate(boxes_xywh) if j != i and nearness[j] > nearness[i]]
        rim = EDGE * box[2:]
        inside = (box[:2] >= rim).all() and (box[:2] + box[2:] <= picture_rgb.shape[1::-1] - rim).all()
        alone = bool(inside) and not _touches(box, np.delete(boxes_xywh, i, axis=0))
        parts, seen = zip(*[_part(picture_rgb, box, part, others) for part in PARTS], strict=True)
        found.append(Look(np.stack(parts), np.array(seen, np.float32), alone))
    return found


def _codes(pixels_rgb: Image) -> NDArray[np.uint16]:
    """The histogram bin of each pixel."""
    levels = cv2.LUT(cv2.cvtColor(pixels_rgb, cv2.COLOR_RGB2YCrCb), _LEVELS).astype(np.uint16)
    return np.asarray((levels[..., 0] * BINS[1] + levels[..., 1]) * BINS[2] + levels[..., 2], np.uint16)


def _part(picture_rgb: Image, box: Floats, part: Floats, others: list[Floats]) -> tuple[Floats, float]:
    """The normed root histogram of one part of one person and the share of it that is seen."""
    bins = int(np.prod(BINS))
    left, top, right, bottom = _corners(box, part)
    inside = picture_rgb[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not inside.size:
        return np.zeros(bins, np.float32), 0.0
    free = np.ones(inside.shape[:2], np.bool_)
    for other in others:
        for hidden in ((-0.25, -0.35, 1.25, 1.05), (-0.5, 1.05, 1.5, 9.0)):
            x0, y0, x1, y1 = _corners(other, np.array(hidden, np.float32))
            x0, y0, x1, y1 = x0 - max(left, 0), y0 - max(top, 0), x1 - max(left, 0), y1 - max(top, 0)
            free[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = False
    pixels = _codes(inside)[free]
    share = len(pixels) / max((right - left) * (bottom - top), 1)
    if share < LEAST_SEEN or len(pixels) < LEAST_PIXELS:
        return np.zeros(bins, np.float32), 0.0
    counts = np.bincount(pixels, minlength=bins).astype(np.float32)
    return np.sqrt(counts / counts.sum()), min(share, 1.0)


def _touches(box: Floats, others: Floats) -> bool:
    """Whether somebody's head is within a third of a face of this one."""
    reach = 0.33 * box[2:]
    apart = (others[:, :2] > box[:2] + box[2:] + reach) | (others[:, :2] + others[:, 2:] < box[:2] - reach)
    return bool((~apart.any(axis=1)).any())


def _corners(box: Floats, part: Floats) -> tuple[int, int, int, int]:
    """A part of a box in whole pixels."""
    low, high = box[:2] + part[:2] * box[2:], box[:2] + part[2:] * box[2:]
    return round(float(low[0])), round(float(low[1])), round(float(high[0])), round(float(high[1]))
