"""The upright RGB picture of a decoded frame, with square pixels, always at the session's size."""

from dataclasses import dataclass, replace
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ingest.footage import Rgb, fences

WIDEST_PIXEL = (
    5.0  # width to height; what claims more, or less than its reciprocal, is damage (the widest used is 2.67)
)
SHEARED = 0.1  # cosine between the axes of a display matrix from which on it is damage


@dataclass(frozen=True, slots=True)
class Stance:
    """How a decoded picture must be changed to stand as a player shows it: first the turn, then both flips."""

    transposed: bool = False
    flipped_x: bool = False  # left and right change places
    flipped_y: bool = False
    pixel_aspect: float = 1.0  # width of a pixel to its height, before the turn

    def is_for(self, aspect: Fraction | None) -> bool:
        """Whether this is the stance for pixels of this shape."""
        return self.pixel_aspect == _believed(aspect)

    def with_aspect(self, aspect: Fraction | None) -> "Stance":
        """The same turn and flips for pixels of another shape."""
        return replace(self, pixel_aspect=_believed(aspect))


UPRIGHT = Stance()


def _believed(aspect: Fraction | None) -> float:
    wide = float(aspect) if aspect else 1.0
    return wide if 1 / WIDEST_PIXEL <= wide <= WIDEST_PIXEL else 1.0


def stance_of(matrix: NDArray[np.int32] | None, aspect: Fraction | None) -> Stance:
    """The stance that a display matrix and a sample aspect ratio ask for.

    Args:
        matrix: (9,) i32, rows of ISO/IEC 14496-12 §6.2.2: x' = a·x + c·y, y' = b·x + d·y with (a, b, ·, c, d, ·, …);
            all eight turns and mirror images are done, other angles rounded to the nearest of them. None, zeros and
            sheared axes ask for nothing.
        aspect: width of a pixel to its height; None or out of range: square.
    """
    wide = _believed(aspect)
    if matrix is None:
        return Stance(pixel_aspect=wide)
    a, b, c, d = (float(matrix[at]) for at in (0, 1, 3, 4))
    lengths = np.hypot(a, b) * np.hypot(c, d)
    if lengths == 0 or abs(a * c + b * d) > SHEARED * lengths:
        return Stance(pixel_aspect=wide)
    if abs(b) > abs(a):
        return Stance(True, c < 0, b < 0, wide)
    return Stance(False, a < 0, d < 0, wide)


def square_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """(width, height) in square pixels: the short side grows, so that no detail is lost, or the long one shrinks where
    the picture would become larger than Mien opens."""
    grown = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    if fences.fits(*grown):
        return grown
    shrunk = (width, round(height / aspect)) if aspect >= 1 else (round(width * aspect), height)
    return max(1, shrunk[0]), max(1, shrunk[1])


def upright_size(width: int, height: int, stance: Stance) -> tuple[int, int]:
    """(width, height) in square px of such a picture once upright."""
    width, height = square_size(width, height, stance.pixel_aspect)
    return (height, width) if stance.transposed else (width, height)


class Upright:
    """Turns frames into (H, W, 3) u8 RGB of one size. Not for two threads at once.

    A frame of another size (the resolution changed) is scaled into the session's size with its proportions kept and
    black borders, so that boxes stay comparable and a face keeps its track.
    """

    def __init__(self, size_wh: tuple[int, int]) -> None:
        self._size_wh = size_wh
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, stance: Stance = UPRIGHT) -> Rgb:
        """The picture; a fresh array."""
        width, height = square_size(frame.width, frame.height, stance.pixel_aspect)
        rgb24 = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1)
        picture = turned(_rows_of(rgb24), stance)
        if (picture.shape[1], picture.shape[0]) != self._size_wh:
            picture = fitted(picture, self._size_wh)
        return np.ascontiguousarray(picture, dtype=np.uint8)


def _rows_of(frame: av.VideoFrame) -> Rgb:
    """The pixels of an rgb24 frame, where possible without the copy of `to_ndarray` (0.5 ms of 1.1 at 1280x720)."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)  # padded at the right
    return np.ascontiguousarray(rows[:, : 3 * frame.width]).reshape(frame.height, frame.width, 3)


def turned(picture: Rgb, stance: Stance) -> Rgb:
    """The picture after the stance's turn and flips."""
    if stance.transposed:
        picture = np.asarray(cv2.transpose(picture), np.uint8)
    if stance.flipped_x or stance.flipped_y:
        both = stance.flipped_x and stance.flipped_y
        picture = np.asarray(cv2.flip(picture, -1 if both else int(stance.flipped_x)), np.uint8)
    return picture


def fitted(picture: Rgb, size_wh: tuple[int, int]) -> Rgb:
    """The whole picture scaled into (width, height), centred on black."""
    height, width = picture.shape[:2]
    scale = min(size_wh[0] / width, size_wh[1] / height)
    inner_w, inner_h = max(1, round(width * scale)), max(1, round(height * scale))
    inner = cv2.resize(picture, (inner_w, inner_h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (size_wh[0] - inner_w) // 2, (size_wh[1] - inner_h) // 2
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    canvas[top : top + inner_h, left : left + inner_w] = inner
    return canvas
