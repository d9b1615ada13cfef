"""Pictures and openings of videos, unpacked in a child process: whatever their headers say, they cost no more than it.

The functions named `_in_child…` run there (`runtime.limits`); everything else in the process that asks.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ingest.footage import Rgb, fences
from runtime.limits import Confined, Exceeded, Failed

TIME_S = 20.0
ROOM = 96 << 20  # bytes for the decoder itself
PER_PIXEL = 16  # bytes: decoded, turned, and the decoder's own copy
ANIMATION_BYTES = 256 << 20  # of the frames of an animated picture, unpacked
OPENING_BYTES = 384 << 20

_HEAD = struct.Struct("<III")  # pictures, width, height

__all__ = ["Animation", "Exceeded", "Failed", "animation", "opens", "picture"]


@dataclass(frozen=True, slots=True, eq=False)
class Animation:
    """An animated picture, unpacked."""

    pictures: list[Rgb]
    durations: list[int]  # µs


def picture(content: bytes, size_wh: tuple[int, int]) -> Rgb:
    """The picture, (H, W, 3) u8 RGB, turned by its EXIF orientation.

    Args:
        content: of the file.
        size_wh: what its header states; a picture of another size is not taken.

    Raises:
        Exceeded: it unpacks to more than its header states.
        Failed: it is damaged.
    """
    width, height = size_wh
    reply = _STILLS.ask(
        content,
        memory=ROOM + 3 * len(content) + PER_PIXEL * width * height,
        most=_HEAD.size + 3 * width * height,
        time_s=TIME_S,
    )
    _, seen_w, seen_h = _HEAD.unpack_from(reply)
    if sorted((seen_w, seen_h)) != sorted(size_wh):
        raise Exceeded(f"{seen_w}x{seen_h} px")
    return np.frombuffer(reply, np.uint8, offset=_HEAD.size).reshape(seen_h, seen_w, 3)


def animation(content: bytes, size_wh: tuple[int, int]) -> Animation:
    """All pictures of an animated WebP, at most `ANIMATION_BYTES` of them.

    Raises:
        Exceeded: it unpacks to more than its header states.
        Failed: it is damaged.
    """
    width, height = size_wh
    most = max(1, ANIMATION_BYTES // (3 * width * height))
    request = struct.pack("<I", most) + content
    room = ROOM + 3 * len(content) + most * 7 * width * height + PER_PIXEL * width * height
    reply = _ANIMATIONS.ask(request, memory=room, most=2 * ANIMATION_BYTES, time_s=TIME_S)
    count, seen_w, seen_h = _HEAD.unpack_from(reply)
    if (seen_w, seen_h) != size_wh:
        raise Exceeded(f"{seen_w}x{seen_h} px")
    durations = np.frombuffer(reply, "<i4", count, _HEAD.size)
    pixels = np.frombuffer(reply, np.uint8, offset=_HEAD.size + 4 * count).reshape(count, seen_h, seen_w, 3)
    return Animation(list(pixels), [1000 * max(1, int(each)) for each in durations])


def opens(path: Path) -> None:
    """Open a video whose tracks are known only after some packets, and close it: FFmpeg decodes some of its frames
    then, and cannot be given limits before.

    Raises:
        Exceeded: that takes too much memory or time.
        Failed: it cannot be opened.
    """
    _OPENINGS.ask(os.fsencode(path.absolute()), memory=OPENING_BYTES, most=0, time_s=TIME_S)


def _in_child_picture(content: bytes) -> Iterator[bytes]:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise ValueError("damaged")
    yield _HEAD.pack(1, decoded.shape[1], decoded.shape[0])
    yield np.ascontiguousarray(decoded, np.uint8).tobytes()


def _in_child_animation(request: bytes) -> Iterator[bytes]:
    (most,) = struct.unpack_from("<I", request)
    found, moving = cv2.imdecodeanimation(np.frombuffer(request, np.uint8, offset=4), 0, most)
    if not found or not len(moving.frames):
        raise ValueError("damaged")
    height, width = moving.frames[0].shape[:2]
    yield _HEAD.pack(len(moving.frames), width, height)
    yield np.asarray(moving.durations, "<i4").tobytes()
    for each in moving.frames:
        code = cv2.COLOR_BGRA2RGB if each.shape[2] == 4 else cv2.COLOR_BGR2RGB
        yield np.ascontiguousarray(cv2.cvtColor(each, code), np.uint8).tobytes()


def _in_child_opening(request: bytes) -> Iterator[bytes]:
    import av

    av.open(f"file:{os.fsdecode(request)}", metadata_errors="ignore", options=dict(fences.FILE_OPTIONS)).close()
    yield b""


_STILLS = Confined(f"{__name__}:_in_child_picture")
_ANIMATIONS = Confined(f"{__name__}:_in_child_animation")
_OPENINGS = Confined(f"{__name__}:_in_child_opening")
