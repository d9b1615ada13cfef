"""Whether a file holds all that its own structure names, by boxes and chunks and not by stated lengths of time."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

BOXES = 100_000  # of an MP4, that are looked at
SEGMENT = b"\x18\x53\x80\x67"  # Matroska's element with everything in it
FLV_TAGS = (8, 9, 18)


def is_cut(path: Path) -> bool:
    """Whether the file ends before its structure does. False where the structure does not tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        try:
            return _check_of(head)(file, head, size)
        except (struct.error, OSError, IndexError):
            return True


def _check_of(head: bytes) -> Callable[[BinaryIO, bytes, int], bool]:
    if head[:4] == b"RIFF":
        return _riff_is_cut
    if head[:4] == b"\x1aE\xdf\xa3":
        return _matroska_is_cut
    if head[:3] == b"FLV":
        return _flv_is_cut
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp"):
        return _boxes_are_cut
    return lambda file, head, size: False


def _riff_is_cut(file: BinaryIO, head: bytes, size: int) -> bool:
    at = 0
    while at + 8 <= size:  # OpenDML: one RIFF after the other
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return False
        if length in (0, 0xFFFFFFFF):
            return False  # never finished: its recorder wrote no length
        at += 8 + length + length % 2
    return at > size + 1


def _matroska_is_cut(file: BinaryIO, head: bytes, size: int) -> bool:
    file.seek(0)
    start = file.read(4096)
    at = start.find(SEGMENT)
    if at < 0:
        return False
    first = start[at + 4]
    width = 9 - first.bit_length()
    length = int.from_bytes(start[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return not unknown and at + 4 + width + length > size


def _flv_is_cut(file: BinaryIO, head: bytes, size: int) -> bool:
    file.seek(size - 4)
    (before,) = struct.unpack(">I", file.read(4))
    if before + 4 > size:
        return True
    file.seek(size - 4 - before)
    return file.read(1)[0] not in FLV_TAGS


def _boxes_are_cut(file: BinaryIO, head: bytes, size: int) -> bool:
    at = 0
    for _ in range(BOXES):
        if at + 8 > size:
            return False  # a few bytes behind the last box
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        if length == 0:
            return False  # to the end of the file
        if length < 8 or not name.isascii():
            return False  # no box: another's bytes behind the last one
        at += length
        if at > size:
            return True
    return False
