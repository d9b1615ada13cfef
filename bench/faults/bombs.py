"""Pictures that state less than they unpack to, or more than anybody should unpack."""

import struct
import zlib

import cv2
import numpy as np

SIDE = 65_500  # px: nearly the most that a JPEG may state; 12.9 GB of RGB
KINDS = ("jpeg", "jpeg, stray byte", "jpeg, two frames", "png", "png, endless chunk", "webp")


def bomb(kind: int) -> bytes:
    """A picture of one of `KINDS`, under 2 KB."""
    jpeg = _jpeg()
    return (
        _sized(jpeg),
        _stray(_sized(jpeg)),
        _two_frames(jpeg),
        _png(SIDE, SIDE),
        _endless(_png(64, 64)),
        _webp(16_383),
    )[kind % len(KINDS)]


def _jpeg() -> bytes:
    return cv2.imencode(".jpg", np.full((16, 16, 3), 128, np.uint8))[1].tobytes()


def _sized(jpeg: bytes, side: int = SIDE) -> bytes:
    """The JPEG with another size in its frame header; what is missing decodes to grey."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", side, side) + jpeg[at + 9 :]


def _stray(jpeg: bytes) -> bytes:
    """A byte between two segments: libjpeg skips it, a parser that counts segments loses its way."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[:at] + b"\x00" + jpeg[at:]


def _two_frames(jpeg: bytes) -> bytes:
    """A small frame header inside a comment, where a search for the marker finds it first."""
    at = jpeg.index(b"\xff\xc0")
    length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
    small = jpeg[at : at + 2 + length]
    comment = b"\xff\xfe" + struct.pack(">H", len(small) + 2) + small
    return jpeg[:2] + comment + _sized(jpeg)[2:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(bytes(64))) + _chunk(b"IEND", b"")


def _endless(png: bytes) -> bytes:
    """A chunk that states nearly 4 GiB."""
    at = png.index(b"IDAT") - 4
    return png[:at] + struct.pack(">I", 0xFFFF_FFF0) + png[at + 4 :]


def _webp(side: int) -> bytes:
    """The largest lossless picture that WebP can state, of a few bytes."""
    small = cv2.imencode(".webp", np.full((16, 16, 3), 128, np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    at = small.index(b"VP8L") + 9
    bits = struct.unpack("<I", small[at : at + 4])[0] & ~((1 << 28) - 1)
    return small[:at] + struct.pack("<I", bits | (side - 1) | (side - 1) << 14) + small[at + 4 :]
