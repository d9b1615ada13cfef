"""A short clip of a face that leaves and returns, and what a run makes of it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.demo import View, film, read_portrait

Mien = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds at 25 frames/s, 320×240: a face, from second 1 to 2 the helmet below it, the face again."""
    path = tmp_path_factory.mktemp("clips") / "face.mp4"
    face, helmet = View((230.0, 150.0), 0.9), View((320.0, 440.0), 1.6)
    film(path, read_portrait(), lambda t: helmet if 1.0 <= t < 2.0 else face, seconds=3.0, size_wh=(320, 240))
    return path


@pytest.fixture(scope="session")
def mien() -> Mien:
    """The command line, run as a user runs it."""

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mien", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)

    return run
