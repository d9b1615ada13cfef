"""A still picture as a source of one frame."""

import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import cv2
import numpy as np

from contract.errors import RefusedSource, UnreadableVideo
from ingest.footage import End, Frame, Item, Rgb, fences
from ingest.footage.sniff import kind_of

WANTED = "wanted a JPEG, PNG, WebP, BMP or TIFF picture"

_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start-of-frame markers; the three are tables


class StillPicture:
    """A picture file as footage of one frame at media time 0.

    Raises:
        UnreadableVideo: it is empty, damaged or no picture.
        RefusedSource: its header states more than `fences.MAX_STILL_PIXELS`; it is not decoded.
    """

    fps = None
    duration = None
    frames_expected = 1
    began_at = None
    down_since = None
    start_offset = 0
    notes = ()

    def __init__(self, path: Path, track: int | None = None) -> None:
        content = path.read_bytes() if path.stat().st_size <= fences.MAX_STILL_BYTES else None
        if content is None:
            raise RefusedSource(
                f"{path.name} has {path.stat().st_size >> 20} MiB; wanted at most 512 MiB for a picture"
            )
        self._rgb = _decoded(content, path.name)
        self.size_wh = (self._rgb.shape[1], self._rgb.shape[0])

    def items(self, stop: Event) -> Iterator[Item | None]:
        """The one frame, and the end."""
        yield Frame(0, 0, 1, lambda: self._rgb)
        yield End(1, 1)

    def close(self) -> None:
        """Nothing is held open."""


def _decoded(content: bytes, name: str) -> Rgb:
    if not content:
        raise UnreadableVideo(f"{name} is empty (0 bytes); {WANTED}")
    size_wh = stated_size(content)
    if size_wh is None:
        raise UnreadableVideo(f"{name} holds {kind_of(content[:4096])}, with no readable size; {WANTED}")
    if not fences.fits(*size_wh, fences.MAX_STILL_PIXELS):
        width, height = size_wh
        raise RefusedSource(
            f"{name} is a picture of {width}x{height} px; "
            f"wanted 1 px to {fences.MAX_STILL_PIXELS // 1_000_000} megapixels, no side above {fences.MAX_SIDE}"
        )
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)  # turned by its EXIF orientation
    except cv2.error:
        picture = None
    if picture is None:
        raise UnreadableVideo(f"{name} is {kind_of(content[:4096])} that is damaged or cut off; {WANTED}")
    return np.ascontiguousarray(picture, dtype=np.uint8)


def stated_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) in px that a picture's header states, before any turning; None if it is no such picture."""
    try:
        if content.startswith(b"\xff\xd8"):
            return _jpeg_size(content)
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", content, 16)
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return width, abs(height)  # a negative height: rows from the top
        if content[8:12] == b"WEBP":
            return _webp_size(content)
        if content[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(content)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        while content[at] != 0xFF:
            at += 1
        while content[at] == 0xFF:
            at += 1
        marker = content[at]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", content, at + 4)
            return width, height
        if marker in (0xD9, 0xDA):  # the picture begins or ends before its size was stated
            return None
        standalone = marker == 0x01 or 0xD0 <= marker <= 0xD8
        at += 1 if standalone else 1 + struct.unpack_from(">H", content, at + 1)[0]


def _webp_size(content: bytes) -> tuple[int, int] | None:
    chunk = content[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(content: bytes) -> tuple[int, int] | None:
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, at)
    sides: dict[int, int] = {}
    for entry in range(count):
        tag, kind = struct.unpack_from(order + "HH", content, at + 2 + 12 * entry)
        if tag in (256, 257):  # ImageWidth, ImageLength; SHORT or LONG
            (sides[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), content, at + 10 + 12 * entry)
    return (sides[256], sides[257]) if len(sides) == 2 else None
