"""The worst files by construction: small, and unpacking to what no machine has. Functions make them; none is stored."""

import re
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.ingest.clips import png_of_zeros, write_clip

SIDE = 30_000  # px: 2.7 GB as RGB


def encoded(ending: str) -> bytes:
    """A grey picture of 64x48 px."""
    return bytes(cv2.imencode(ending, np.full((48, 64, 3), 99, np.uint8))[1].tobytes())


def video(name: str, codec: str, size_wh: tuple[int, int] = (64, 48)) -> bytes:
    """A clip of five frames."""
    with tempfile.TemporaryDirectory() as folder:
        return write_clip(Path(folder) / name, 5, size_wh, codec=codec, codec_options={"bf": "0"}).read_bytes()


def png_whose_chunk_has_four_gigabytes() -> bytes:
    """88 bytes of a PNG took 4.1 GB: libpng takes the memory for a chunk before it reads it."""
    content = bytearray(encoded(".png"))
    at = content.find(b"IDAT")
    content[at - 4 : at] = b"\xff\xff\xff\xf0"
    return bytes(content[:120])


def png_with_a_profile_that_unpacks() -> bytes:
    """A colour profile of 200 MB in 200 kB."""
    content = png_of_zeros(64, 48, content=False)
    body = zlib.compress(bytes(200 << 20), 9)
    data = b"icc\0\0" + body
    chunk = struct.pack(">I", len(data)) + b"iCCP" + data + struct.pack(">I", zlib.crc32(b"iCCP" + data))
    return content[:33] + chunk + content[33:]


def jpeg_with_a_stray_byte_before_its_size() -> bytes:
    """631 bytes of a JPEG took 5.3 GB: a parser that does not pass stray bytes over finds no size."""
    content = bytearray(encoded(".jpg"))
    at = content.find(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(content[:at]) + b"\0\xff\0\x07" + bytes(content[at:])


def jpeg_of_two_sizes() -> bytes:
    """The first frame header states 8x8 px, the second one the truth."""
    content = encoded(".jpg")
    at = content.find(b"\xff\xc0")
    header = bytearray(content[at : at + 19])
    header[5:9] = struct.pack(">HH", 8, 8)
    large = bytearray(content[at:])
    large[5:9] = struct.pack(">HH", SIDE, SIDE)
    return content[:at] + bytes(header) + bytes(large)


def webp_whose_canvas_is_small() -> bytes:
    """A canvas of 8x8 px around a picture of 16,383x16,383."""
    frame = bytearray(encoded(".webp"))
    at = frame.find(b"VP8 ")
    if at < 0:
        at = frame.find(b"VP8L")
        struct.pack_into("<I", frame, at + 9, 0x3FFE | 0x3FFE << 14)
    else:
        struct.pack_into("<HH", frame, at + 14, 0x3FFF, 0x3FFF)
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\7\0\0\7\0\0"
    body = b"WEBP" + extended + bytes(frame[at:])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_whose_strip_is_large() -> bytes:
    """One strip of four gigabytes for a picture of 64x48."""
    content = bytearray(encoded(".tiff"))
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, at)
    for entry in range(count):
        (tag,) = struct.unpack_from(order + "H", content, at + 2 + 12 * entry)
        if tag in (278, 279):  # RowsPerStrip, StripByteCounts
            struct.pack_into(order + "HII", content, at + 4 + 12 * entry, 4, 1, 0xFFFF_FFF0)
    return bytes(content)


def tiff_of_two_widths() -> bytes:
    """The width stands there twice: small for whoever takes the last, large for whoever takes the first."""
    entries = [(256, 4, SIDE), (257, 4, SIDE), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, SIDE), (279, 4, 8), (256, 4, 8), (257, 4, 8)]
    rows = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x10\0\0\0" + bytes(8) + struct.pack("<H", len(entries)) + rows + bytes(4)


def bmp_of_negative_height() -> bytes:
    """Rows from the top, so many that their number is negative."""
    content = bytearray(encoded(".bmp"))
    struct.pack_into("<ii", content, 18, SIDE, -SIDE)
    return bytes(content)


def gif_of_a_large_screen() -> bytes:
    """A screen of 65,535x65,535 px with one pixel on it."""
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0)
        + bytes(6)
        + (b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2D\1\0;")
    )


def with_a_large_sequence(name: str) -> bytes:
    """A container that states 64x48 px around an H.264 track whose parameter sets state 1920x1080."""
    small, large = video(name, "libx264"), video(name, "libx264", (1920, 1080))
    pattern = re.compile(rb"\x67[\x42\x4d\x64\xf4].{8,40}?(?=\x68)", re.DOTALL)
    seen = pattern.search(large)
    assert seen is not None
    wide = bytearray(seen[0])
    return pattern.sub(lambda found: bytes(wide[: len(found[0])]).ljust(len(found[0]), b"\0"), small)


def program_stream_of_a_large_picture() -> bytes:
    """A sequence header of 16,383x16,383 px behind the first bytes, where no parser of ours looks."""
    content = bytearray(video("a.mpg", "mpeg2video"))
    at = content.find(b"\0\0\1\xb3")
    content[at + 4 : at + 7] = b"\xff\xff\xff"
    extension = content.find(b"\0\0\1\xb5", at)
    content[extension + 5] |= 0x01
    content[extension + 6] |= 0xE0
    head = content.find(b"\0\0\1\xba")
    return (
        bytes(content[head : head + 14]) + b"\0\0\1\xbe" + struct.pack(">H", 8000) + bytes(8000) + bytes(content[head:])
    )


WORST: dict[str, Callable[[], bytes]] = {
    "chunk.png": png_whose_chunk_has_four_gigabytes,
    "profile.png": png_with_a_profile_that_unpacks,
    "stray.jpg": jpeg_with_a_stray_byte_before_its_size,
    "two.jpg": jpeg_of_two_sizes,
    "canvas.webp": webp_whose_canvas_is_small,
    "strip.tiff": tiff_whose_strip_is_large,
    "widths.tiff": tiff_of_two_widths,
    "height.bmp": bmp_of_negative_height,
    "screen.gif": gif_of_a_large_screen,
    "sequence.mp4": lambda: with_a_large_sequence("a.mp4"),
    "sequence.mkv": lambda: with_a_large_sequence("a.mkv"),
    "sequence.ts": lambda: with_a_large_sequence("a.ts"),
    "sequence.mpg": lambda: with_a_large_sequence("a.mpg"),
    "late.mpg": program_stream_of_a_large_picture,
}
