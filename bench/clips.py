"""Clips with known faces: the portrait, alone or four times, under a panning and zooming camera."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.demo import PORTRAIT_FACE_XYWH, View, film, read_portrait

FPS = 25
SECONDS = 20


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip and the faces that it shows."""

    name: str
    path: Path
    size_wh: tuple[int, int]
    photograph: NDArray[np.uint8]
    faces_xywh: tuple[tuple[float, float, float, float], ...]  # px of the photograph

    def view(self, time_s: float) -> View:
        """Pan and zoom that keep every face inside the picture."""
        height, width = self.photograph.shape[:2]
        fit = max(self.size_wh[0] / width, self.size_wh[1] / height)
        zoom = fit * (1.06 + 0.05 * math.sin(2 * math.pi * time_s / 7.0))
        x = width / 2 + 0.035 * width * math.sin(2 * math.pi * time_s / 5.0)
        y = height / 2 + 0.025 * height * math.sin(2 * math.pi * time_s / 3.1)
        return View((x, y), zoom).inside((width, height), self.size_wh)

    def truth(self, frame: int) -> NDArray[np.float64]:
        """(faces, 4) boxes of a frame, xywh in px of the picture."""
        matrix = self.view(frame / FPS).matrix(self.size_wh)
        zoom, shift = matrix[0, 0], matrix[:, 2]
        return np.array(
            [[x * zoom + shift[0], y * zoom + shift[1], w * zoom, h * zoom] for x, y, w, h in self.faces_xywh]
        )

    @property
    def frames(self) -> int:
        """Number of frames."""
        return SECONDS * FPS

    def make(self) -> None:
        """Write the file if it is not there."""
        if not self.path.exists():
            film(self.path, self.photograph, self.view, SECONDS, self.size_wh, FPS)


def clips(folder: Path) -> tuple[Clip, Clip]:
    """One face at 640×480, four faces at 1280×720."""
    portrait = read_portrait()
    upper, head = portrait[:384], portrait[:300]  # (384, 512) and (300, 512)
    four = np.ascontiguousarray(np.vstack([np.hstack([head, head])] * 2))
    x, y, w, h = PORTRAIT_FACE_XYWH
    places = tuple((x + 512 * column, y + 300 * row, w, h) for row in range(2) for column in range(2))
    return (
        Clip("1 face 640×480", folder / "one_face_640x480.mp4", (640, 480), upper, (PORTRAIT_FACE_XYWH,)),
        Clip("4 faces 1280×720", folder / "four_faces_1280x720.mp4", (1280, 720), four, places),
    )
