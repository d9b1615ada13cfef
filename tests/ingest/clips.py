"""Small videos made on the spot: every container, rate, rotation and kind of damage that the tests need."""

import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason
from ingest.footage import End, Footage, Frame, Hole, Rgb

FPS = 25
STEP = 40_000  # µs


def grey_of(index: int) -> int:
    """The grey level that frame `index` of a clip shows: neighbours differ by far more than a codec blurs."""
    return 30 + (index * 37) % 200


def picture(index: int, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) u8: grey by index, the upper left quarter red."""
    width, height = size_wh
    rgb = np.full((height, width, 3), grey_of(index), np.uint8)
    rgb[: height // 2, : width // 2] = (220, 20, 20)
    return rgb


def write_clip(
    path: Path,
    frames: int = 30,
    size_wh: tuple[int, int] = (64, 48),
    *,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    start_ms: int = 0,
    rotation: int = 0,
    sound_s: float = 0.0,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> Path:
    """A clip of `frames` frames at 25/s, or at the given times; with a tone as the first track if `sound_s`."""
    times_ms = times_ms if times_ms is not None else [40 * i for i in range(frames)]
    with av.open(str(path), "w", options=options or {}) as container:
        sound = (
            container.add_stream("mp2" if path.suffix in (".avi", ".mpg") else "aac", rate=44_100) if sound_s else None
        )
        video = container.add_stream(codec, rate=FPS, options=codec_options or {})
        video.width, video.height, video.pix_fmt = *size_wh, pix_fmt
        video.codec_context.time_base = Fraction(1, 1000) if times_ms[1:2] != [40] else Fraction(1, FPS)
        if rotation:
            video.set_display_rotation(rotation)
        ticks = video.codec_context.time_base
        for index, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(index, size_wh), format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time_ms + start_ms, 1000) / ticks), ticks
            container.mux(video.encode(frame))
        if sound is not None:
            write_tone(container, sound, sound_s)
        container.mux(video.encode())
    return path


NOISE = np.random.default_rng(3).integers(0, 255, (96, 128, 3), np.uint8)


def write_moving(
    path: Path,
    codec: str,
    frames: int = 60,
    *,
    lost: Collection[int] = (),
    options: dict[str, str] | None = None,
    size_wh: tuple[int, int] = (128, 96),
) -> Path:
    """A pattern that moves, without these packets (in file order)."""
    number = 0
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=FPS, options=options or {})
        video.width, video.height, video.pix_fmt = *size_wh, "yuv420p"

        def mux(packets: "list[av.Packet[av.VideoStream]]") -> None:
            nonlocal number
            for packet in packets:
                if number not in lost:
                    container.mux(packet)
                number += 1

        for index in range(frames):
            shifted = np.roll(NOISE, 3 * index, axis=1)[: size_wh[1], : size_wh[0]]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shifted), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            mux(video.encode(frame))
        mux(video.encode())
    return path


def write_tone(container: av.container.OutputContainer, stream: av.audio.stream.AudioStream, seconds: float) -> None:
    rate, block = 44_100, 1024
    for start in range(0, int(seconds * rate), block):
        wave = (np.sin(np.arange(start, start + block) * 0.06) * 0.2).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """A sound file without a picture."""
    with av.open(str(path), "w") as container:
        write_tone(container, container.add_stream("aac", rate=44_100), seconds)
    return path


def write_bomb(path: Path, side: int = 16_000) -> Path:
    """A MOV file whose PNG track unpacks to side² px from a few hundred kB."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
        for index in range(2):
            packet = av.Packet(png_of_zeros(side, side))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, FPS)
            packet.is_keyframe = True
            container.mux(packet)
    return path


def png_of_zeros(width: int, height: int, *, content: bool = True) -> bytes:
    """A black grey-level PNG; without content it is a header that only claims its size."""
    body = zlib.compressobj(1)
    rows = bytes((width + 1) * 100)
    packed = b"".join(body.compress(rows) for _ in range(height // 100 if content else 0)) + body.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def cut_off(path: Path, share: float) -> Path:
    """The file without its end."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def overwrite_packets(path: Path, numbers: range) -> Path:
    """The file with these packets of its picture track (in file order) filled with 0xFF."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        position, size = places[number]
        content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
    return path


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """A frame with its picture."""

    index: int
    media_time: int
    end: int
    rgb: Rgb


def all_of(footage: Footage) -> tuple[list[Looked], list[Hole], End]:
    """Everything that footage holds, every frame looked at."""
    frames, holes, end = [], [], None
    for item in footage.items(Event()):
        if isinstance(item, Frame):
            rgb = item.picture()
            if rgb is None:
                holes.append(Hole(item.media_time, item.end, GapReason.DECODE_ERROR))
            else:
                frames.append(Looked(item.index, item.media_time, item.end, rgb))
        elif isinstance(item, Hole):
            holes.append(item)
        elif item is not None:
            end = item
    footage.close()
    assert end is not None
    return frames, holes, end


def shown_index(frame: Looked, count: int) -> int:
    """Which of `count` written frames this looks like, by the grey level of its lower right quarter."""
    height, width = frame.rgb.shape[:2]
    grey = float(np.median(frame.rgb[height // 2 + 2 :, width // 2 + 2 :]))
    return min(range(count), key=lambda index: abs(grey_of(index) - grey))
