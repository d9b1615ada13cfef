"""Damaged files of every format that is read, and what reading each of them costs.

`python -m tests.ingest.mutants a.mp4 200 7` reads 200 mutants of an MP4 (seed 7) and prints one line for each: its
number, seconds, MiB of the process and its children, and what came of it. Whoever reads the lines sees a crash as
their end and a hang as their absence.
"""

import io
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from contract.errors import MienError
from ingest.footage import Footage
from ingest.footage.stills import picture_file
from ingest.footage.video import VideoFile
from tests.ingest.clips import all_of, picture, write_clip

VIDEOS: dict[str, dict[str, Any]] = {
    "a.mp4": {"codec": "libx264", "options": {"movflags": "faststart"}, "sound_s": 1.0},
    "fragmented.mp4": {"codec": "libx264", "options": {"movflags": "frag_keyframe+empty_moov"}},
    "a.mkv": {"codec": "libx264", "sound_s": 1.0},
    "a.ts": {"codec": "libx264", "sound_s": 1.0},
    "a.mpg": {"codec": "mpeg2video", "sound_s": 1.0},
    "h264.mpg": {"codec": "libx264"},
    "a.avi": {"codec": "mpeg4", "sound_s": 1.0},
    "a.webm": {"codec": "libvpx"},
    "a.flv": {"codec": "flv1"},
    "a.wmv": {"codec": "wmv2"},
    "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}
STILLS = ("a.jpg", "a.png", "a.webp", "a.tiff", "a.bmp")
ONE_LINE = 400  # characters


def seed_file(name: str) -> bytes:
    """A sound file of this format."""
    if name in STILLS:
        return bytes(cv2.imencode(Path(name).suffix, picture(3, (61, 40))[..., ::-1])[1].tobytes())
    with tempfile.TemporaryDirectory() as folder:
        return write_clip(Path(folder) / name, 60, (96, 64), **VIDEOS[name]).read_bytes()


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with flipped bits, an overwritten part, a part cut out or repeated, the end cut off, or odd bytes in
    its header, where sizes, counts and rates are."""
    damaged = bytearray(content)
    kind = rng.integers(6)
    at = int(rng.integers(len(damaged)))
    if kind == 0:
        for place in rng.integers(len(damaged), size=int(rng.integers(1, 40))):
            damaged[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        damaged[at : at + 200] = rng.bytes(min(200, len(damaged) - at))
    elif kind == 2:
        del damaged[at : at + int(rng.integers(1, 2000))]
    elif kind == 3:
        damaged[at:at] = damaged[at : at + int(rng.integers(1, 500))]
    elif kind == 4:
        del damaged[at:]
    else:
        extremes = (0, 1, 0x7F, 0x80, 0xFE, 0xFF, int(rng.integers(256)))
        for place in rng.integers(min(1000, len(damaged)), size=int(rng.integers(1, 5))):
            damaged[place] = extremes[rng.integers(len(extremes))]
    return bytes(damaged)


def outcome(path: Path) -> str:
    """What came of a file: «12 frames» or the error's line; asserts that it is sane."""
    footage: Footage
    try:
        footage = picture_file(path) if path.suffix in {Path(name).suffix for name in STILLS} else VideoFile(path)
        frames, holes, end = all_of(footage)
    except MienError as error:
        line = str(error)
        assert line.isprintable(), line
        assert len(line) < ONE_LINE, line
        return line
    times = [frame.media_time for frame in frames]
    assert all(earlier < later for earlier, later in pairwise(times)), times
    assert not times or times[0] >= 0
    assert {frame.rgb.shape[1::-1] for frame in frames} <= {footage.size_wh}
    assert end.frames >= len(frames)
    assert all(0 <= hole.begin < hole.end for hole in holes), holes
    assert all(hole.end <= later.begin for hole, later in pairwise(holes)), holes
    return f"{len(frames)} frames"


def peak_mib() -> int:
    """MiB that this process and its children took at most since the last call."""
    peak = 0
    children = Path(f"/proc/self/task/{Path('/proc/self').resolve().name}/children").read_text().split()
    for process in ("self", *children):
        status = Path(f"/proc/{process}/status").read_text()
        peak += int(status.split("VmHWM:")[1].split()[0]) // 1024
        Path(f"/proc/{process}/clear_refs").write_text("5")
    return peak


def main(name: str, count: int, seed: int, keep: Path | None = None) -> None:
    """Read mutants and print a line for each."""
    content, rng = seed_file(name), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        print(f"sound 0 0 {outcome(path)}", flush=True)
        for number in range(count):
            damaged = mutant(content, rng)
            path.write_bytes(damaged)
            began = time.monotonic()
            result = outcome(path)
            took, peak = time.monotonic() - began, peak_mib()
            print(f"{number} {took:.2f} {peak} {result}", flush=True)
            if keep is not None and (took > 5 or peak > 300):
                (keep / f"{name}-{seed}-{number}").write_bytes(damaged)


if __name__ == "__main__":
    sys.stderr = io.StringIO()
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None)
