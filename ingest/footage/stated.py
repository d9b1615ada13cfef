"""What the header of a picture file states: its size, its pages, whether it moves. Any of it may be wrong."""

import struct

_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start-of-frame markers; the three are tables
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
PAGES = 10_000  # of a TIFF that are counted


def stated_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) in px that a picture's header states, before any turning; None if it is no such picture."""
    try:
        if content.startswith(b"\xff\xd8"):
            return _jpeg_size(content)
        if content.startswith(_PNG):
            return struct.unpack_from(">II", content, 16)
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return width, abs(height)  # a negative height: rows from the top
        if content[8:12] == b"WEBP":
            return _webp_size(content)
        if content[:4] in _TIFF:
            return _tiff_size(content)
        if content[:4] == b"GIF8":
            return struct.unpack_from("<HH", content, 6)
    except (struct.error, IndexError):
        return None
    return None


def moves_as_video(content: bytes) -> bool:
    """Whether FFmpeg reads this picture as a video: a GIF, or a PNG with an animation before its first pixels."""
    if content[:4] == b"GIF8":
        return True
    animated, pixels = content.find(b"acTL", 0, 4096), content.find(b"IDAT")
    return content.startswith(_PNG) and 0 <= animated < (pixels if pixels >= 0 else len(content))


def moves_as_webp(content: bytes) -> bool:
    """Whether this is an animated WebP."""
    return content[8:16] == b"WEBPVP8X" and bool(content[20:21]) and bool(content[20] & 2)


def pages_of(content: bytes) -> int:
    """Pages of a TIFF; 1 for every other picture."""
    if content[:4] not in _TIFF:
        return 1
    order = "<" if content[:2] == b"II" else ">"
    pages, seen = 0, set[int]()
    try:
        (at,) = struct.unpack_from(order + "I", content, 4)
        while at and at not in seen and pages < PAGES:
            seen.add(at)
            (count,) = struct.unpack_from(order + "H", content, at)
            (at,) = struct.unpack_from(order + "I", content, at + 2 + 12 * count)
            pages += 1
    except struct.error:
        return max(1, pages)
    return max(1, pages)


def jpeg_is_cut(content: bytes) -> bool:
    """Whether this is a JPEG whose pixels begin and have no end mark behind them."""
    start = content.rfind(b"\xff\xda")
    return content.startswith(b"\xff\xd8") and start >= 0 and content.find(b"\xff\xd9", start) < 0


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        while content[at] != 0xFF:  # stray bytes are passed over, as libjpeg does
            at += 1
        while content[at] == 0xFF:
            at += 1
        marker = content[at]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", content, at + 4)
            return width, height
        if marker in (0xD9, 0xDA):  # the picture begins or ends before its size was stated
            return None
        standalone = marker in (0, 1) or 0xD0 <= marker <= 0xD8
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
