"""Decodes, checks and resizes crops for the nets."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.records import Crop
from worker.reading import CROP_EDGE_LIMIT

JPEG_BEGIN = b"\xff\xd8"
JPEG_END = b"\xff\xd9"
POOL_FROM = 8  # JPEGs; fewer are decoded sooner than a thread is woken
SCANS_LIMIT = 64  # a progressive JPEG has some ten; each may take as long as a whole picture
_SCAN = 0xDA  # marker of the segment that compressed data follow
_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # an EXIF tag must not turn a crop


class UnreadableCrop(Exception):
    """A crop that no net can be shown; names what was seen."""


def pixels(crop: Crop) -> NDArray[np.uint8]:
    """The crop as (edge, edge, 3) u8 RGB.

    Raises:
        UnreadableCrop: no JPEG, a cut one (the missing part would be read as grey skin), or no square colour picture.
    """
    picture = _decoded(crop) if isinstance(crop, bytes) else crop
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        seen = picture.dtype if isinstance(picture, np.ndarray) else type(picture).__name__
        raise UnreadableCrop(f"a crop of {seen}, wanted u8 pixels or JPEG bytes")
    if picture.ndim != 3 or picture.shape[2] != 3 or not 0 < picture.shape[0] == picture.shape[1] <= CROP_EDGE_LIMIT:
        raise UnreadableCrop(
            f"a crop of shape {picture.shape}, wanted (edge, edge, 3), edge up to {CROP_EDGE_LIMIT} px"
        )
    return picture


class Decoder:
    """`pixels` of many crops: of each its picture, or what is wrong with it.

    JPEGs are shared out among `threads` (OpenCV lets go of the interpreter lock); pictures need no work.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="decode") if threads > 1 else None

    def __call__(self, crops: Sequence[Crop]) -> list[NDArray[np.uint8] | UnreadableCrop]:
        """One per crop, in order."""
        if self._pool is None or sum(isinstance(crop, bytes) for crop in crops) < POOL_FROM:
            return _each(crops)
        share = -(-len(crops) // self._threads)
        others = [self._pool.submit(_each, crops[begin : begin + share]) for begin in range(share, len(crops), share)]
        first = _each(crops[:share])
        return [picture for part in (first, *(other.result() for other in others)) for picture in part]


def _each(crops: Sequence[Crop]) -> list[NDArray[np.uint8] | UnreadableCrop]:
    return [_pixels_or_flaw(crop) for crop in crops]


def _pixels_or_flaw(crop: Crop) -> NDArray[np.uint8] | UnreadableCrop:
    try:
        return pixels(crop)
    except UnreadableCrop as flaw:
        return flaw


def resized(pictures: Sequence[NDArray[np.uint8]], edge: int) -> NDArray[np.uint8]:
    """Square pictures as one batch (N, edge, edge, 3) u8; averaged over areas when they shrink."""
    batch = np.empty((len(pictures), edge, edge, 3), np.uint8)
    for place, picture in zip(batch, pictures, strict=True):
        if picture.shape[0] == edge:
            place[:] = picture
        else:
            how = cv2.INTER_AREA if picture.shape[0] > edge else cv2.INTER_LINEAR
            cv2.resize(picture, (edge, edge), dst=place, interpolation=how)
    return batch


def _stated_edges(body: bytes) -> tuple[int, int]:
    """Width and height in px as the frame header of a JPEG states them (ITU-T T.81, B.2.2).

    Strict: segment follows segment. Decoders skip stray bytes, or take the second of two frame headers, and so might
    find another size than we do.

    Raises:
        UnreadableCrop: no frame header before the scan, more than one, or bytes that belong to no segment.
    """
    edges: tuple[int, int] | None = None
    at = len(JPEG_BEGIN)
    while at + 9 <= len(body):
        marker = body[at + 1]
        if body[at] != 0xFF or marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD9:
            raise UnreadableCrop(f"a JPEG with {body[at : at + 2].hex()!r} at byte {at}, wanted the next segment")
        if marker == _SCAN and edges is not None:
            return edges
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # tables and a reserved one lie among them
            if edges is not None:
                raise UnreadableCrop("a JPEG with two frame headers, wanted one")
            edges = int.from_bytes(body[at + 7 : at + 9], "big"), int.from_bytes(body[at + 5 : at + 7], "big")
        at += 2 + max(2, int.from_bytes(body[at + 2 : at + 4], "big"))
    raise UnreadableCrop(f"{len(body)} bytes that begin and end as a JPEG and hold none")


def _decoded(body: bytes) -> NDArray[np.uint8]:
    if not body.endswith(JPEG_END):
        raise UnreadableCrop(f"{len(body)} bytes that end in {body[-2:].hex()!r}, wanted a whole JPEG (ffd9)")
    if not body.startswith(JPEG_BEGIN):
        raise UnreadableCrop(f"{len(body)} bytes beginning {body[:4].hex()!r}, wanted a JPEG")
    if (scans := body.count(b"\xff\xda")) > SCANS_LIMIT:
        raise UnreadableCrop(f"a JPEG of {scans} scans, wanted at most {SCANS_LIMIT}")
    width, height = _stated_edges(body)
    if not 0 < min(width, height) <= max(width, height) <= CROP_EDGE_LIMIT:  # 30,000 px square would take 2.7 GB
        raise UnreadableCrop(f"a JPEG that states {width} x {height} px, wanted edges up to {CROP_EDGE_LIMIT} px")
    try:
        picture = cv2.imdecode(np.frombuffer(body, np.uint8), _AS_STORED)
    except cv2.error as error:  # more pixels than `worker.reading.limit_decoder` allows
        raise UnreadableCrop(f"{len(body)} bytes that OpenCV refuses ({error.err})") from error
    if picture is None or picture.shape[:2] != (height, width):
        seen = "nothing" if picture is None else f"{picture.shape[1]} x {picture.shape[0]} px"
        raise UnreadableCrop(f"a JPEG that states {width} x {height} px and decodes to {seen}")
    return np.asarray(picture, np.uint8)
