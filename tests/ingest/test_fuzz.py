"""Whatever the bytes, the answer is frames and holes, or one error of ours; soon, and in little memory."""

import resource
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from contract.errors import MienError
from ingest.footage.video import VideoFile
from tests.ingest.clips import all_of, write_clip

MUTANTS = 20  # of each kind of file; a long run raises it
KINDS = [
    ("a.mp4", "libx264", {"movflags": "faststart"}),
    ("a.mkv", "libx264", {}),
    ("a.ts", "libx264", {}),
    ("a.avi", "mpeg4", {}),
    ("a.mpg", "mpeg2video", {}),
    ("a.webm", "libvpx", {}),
]


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with flipped bytes, an overwritten stretch, a stretch cut out, or the end cut off."""
    damaged = bytearray(content)
    kind = rng.integers(4)
    at = int(rng.integers(len(damaged)))
    if kind == 0:
        for place in rng.integers(len(damaged), size=int(rng.integers(1, 40))):
            damaged[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        damaged[at : at + 200] = rng.bytes(min(200, len(damaged) - at))
    elif kind == 2:
        del damaged[at : at + int(rng.integers(1, 2000))]
    else:  # in the header, where sizes, counts and rates are
        for place in rng.integers(min(1000, len(damaged)), size=3):
            damaged[place] = int(rng.integers(256))
    return bytes(damaged)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "codec", "options"), KINDS)
def test_no_mutant_crashes_hangs_or_eats_memory(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    sound_s = 0.0 if name == "a.webm" else 1.0  # WebM takes no AAC
    content = write_clip(tmp_path / name, 60, (96, 64), codec=codec, sound_s=sound_s, options=options).read_bytes()
    rng = np.random.default_rng(len(name) + sum(map(ord, codec)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened = 0

    for number in range(MUTANTS):
        path = tmp_path / f"{number}{Path(name).suffix}"
        path.write_bytes(mutant(content, rng))
        started = time.process_time()
        try:
            frames, holes, end = all_of(VideoFile(path))
        except MienError:
            continue
        finally:
            assert time.process_time() - started < 5
        opened += 1
        times = [frame.media_time for frame in frames]
        assert all(frame.rgb.ndim == 3 for frame in frames)
        assert all(earlier < later for earlier, later in pairwise(times)), number
        assert times[0] >= 0
        assert end.frames >= len(frames)
        assert all(0 <= hole.begin < hole.end for hole in holes), (number, holes)
        assert all(hole.end <= later.begin for hole, later in pairwise(holes))

    assert opened > MUTANTS // 4  # else the mutants are too broken to say anything
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert grown_mib < 150
