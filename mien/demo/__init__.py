"""A demonstration clip made from one photograph, so that the first run needs no download.

`astronaut.jpg` is NASA's official portrait of Eileen Collins, a public-domain work of the United States government,
as the scikit-image package carries it (`skimage.data.astronaut`, 512×512), stored here as JPEG.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import BadOutput

PORTRAIT = Path(__file__).with_name("astronaut.jpg")
PORTRAIT_FACE_XYWH = (181.0, 58.0, 89.0, 120.0)  # px of the portrait: forehead to chin


@dataclass(frozen=True, slots=True)
class View:
    """What the imagined camera sees of the photograph: a centre in px of the photograph, and picture px per px."""

    centre_xy: tuple[float, float]
    zoom: float

    def inside(self, photograph_wh: tuple[int, ...], size_wh: tuple[int, int]) -> "View":
        """The nearest view that does not look beyond the photograph, as far as its zoom allows."""
        half = [edge / 2 / self.zoom for edge in size_wh]
        x, y = (
            min(max(c, h), max(full - h, h)) for c, h, full in zip(self.centre_xy, half, photograph_wh, strict=True)
        )
        return View((x, y), self.zoom)

    def matrix(self, size_wh: tuple[int, int]) -> NDArray[np.float64]:
        """The affine map (2, 3) from the photograph to the picture."""
        (x, y), (width, height) = self.centre_xy, size_wh
        return np.array([[self.zoom, 0, width / 2 - self.zoom * x], [0, self.zoom, height / 2 - self.zoom * y]])


def film(
    path: Path,
    photograph: NDArray[np.uint8],
    path_of_view: Callable[[float], View],
    seconds: float,
    size_wh: tuple[int, int] = (640, 480),
    fps: int = 25,
) -> None:
    """Film a photograph (H, W, 3) u8 RGB with a moving, zooming camera into an H.264 file.

    The camera stays inside the photograph where it can; beyond, the border pixel goes on.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "21", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        for index in range(round(seconds * fps)):
            matrix = path_of_view(index / fps).inside(photograph.shape[1::-1], size_wh).matrix(size_wh)
            picture = cv2.warpAffine(photograph, matrix, size_wh, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture, np.uint8), format="rgb24")))
        container.mux(stream.encode())


def read_portrait() -> NDArray[np.uint8]:
    """The portrait (512, 512, 3) u8 RGB."""
    picture = cv2.imread(str(PORTRAIT))
    assert picture is not None, f"{PORTRAIT} belongs to the installation"
    return np.ascontiguousarray(picture[..., ::-1])


def demonstration_view(time_s: float) -> View:
    """Drift about the face, look down to the helmet between seconds 5.5 and 8 (the face leaves), come back close."""
    x, y, width, height = PORTRAIT_FACE_XYWH
    away = _ease(time_s - 5.0) - _ease(time_s - 7.5)
    zoom = 1.62 + 0.33 * math.sin(2 * math.pi * time_s / 12.0 - math.pi / 2)
    sway, nod = 14 * math.sin(2 * math.pi * time_s / 3.7), 8 * math.sin(2 * math.pi * time_s / 2.9)
    return View((x + width / 2 + sway + 90 * away, y + height / 2 + 40 + nod + 220 * away), zoom)


def _ease(seconds: float) -> float:
    """0 before, 1 a second later, smooth between."""
    return 0.5 - 0.5 * math.cos(math.pi * min(max(seconds, 0.0), 1.0))


def make_demonstration(path: Path) -> None:
    """Write the demonstration clip: 12 s, 640×480, 25 frames/s, one face that leaves and returns.

    Raises:
        BadOutput: the path cannot be written; no half of a clip stays there.
    """
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished.mp4")
    try:
        film(unfinished, read_portrait(), demonstration_view, seconds=12.0)
        unfinished.replace(path)
    except OSError as error:
        raise BadOutput(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        unfinished.unlink(missing_ok=True)
