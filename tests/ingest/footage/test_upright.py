"""How a decoded picture is turned, mirrored and made square: as a player shows it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ingest.footage.upright import UPRIGHT, Stance, square_size, stance_of, turned, upright_size
from ingest.footage.video import VideoFile
from tests.ingest.clips import FPS, all_of, picture

ONE = 1 << 16
TURNS = {  # (a, b, c, d): where the red quarter, upper left in the coded picture, is shown (row, column)
    (1, 0, 0, 1): (0, 0),
    (-1, 0, 0, 1): (0, 1),
    (1, 0, 0, -1): (1, 0),
    (-1, 0, 0, -1): (1, 1),
    (0, 1, 1, 0): (0, 0),
    (0, 1, -1, 0): (0, 1),
    (0, -1, 1, 0): (1, 0),
    (0, -1, -1, 0): (1, 1),
}


def matrix(a: float, b: float, c: float, d: float) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    return np.array([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30], np.int32)


def write_with_matrix(path: Path, values: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> Path:
    """A clip of 64x32 px with this display matrix."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 64, 32, "yuv420p"
        video.set_display_matrix(values.tolist())
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(picture(index, (64, 32)), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def red_quarter(rgb: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> tuple[int, int]:
    halves = [np.array_split(half, 2, axis=1) for half in np.array_split(rgb, 2, axis=0)]
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    return max(places, key=lambda at: float(halves[at[0]][at[1]][..., 0].mean()))


@pytest.mark.parametrize("turn", TURNS)
def test_all_eight_turns_and_mirror_images_of_a_display_matrix_are_done(
    tmp_path: Path, turn: tuple[int, int, int, int]
) -> None:
    footage = VideoFile(write_with_matrix(tmp_path / "a.mp4", matrix(*turn)))
    frames, _, _ = all_of(footage)

    assert footage.size_wh == ((64, 32) if turn[0] else (32, 64))
    assert {red_quarter(frame.rgb) for frame in frames} == {TURNS[turn]}


@pytest.mark.parametrize(
    "nonsense", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1), (1, 1, 1, 1), (1, 0, 1, 0.5), (0, 1, 0, 1)]
)
def test_zeros_and_nonsense_ask_for_nothing(nonsense: tuple[float, float, float, float]) -> None:
    assert stance_of(matrix(*nonsense), None) == UPRIGHT


def test_other_angles_are_rounded_and_scales_do_not_count() -> None:
    assert stance_of(matrix(0.9, 0.4, -0.4, 0.9), None) == UPRIGHT
    assert stance_of(matrix(0.1, 0.9, -0.9, 0.1), None) == Stance(True, True, False)
    assert stance_of(matrix(0, 0.5, -0.5, 0), None) == Stance(True, True, False)


@pytest.mark.parametrize(
    ("aspect", "size_wh"),
    [
        (Fraction(2), (640, 360)),
        (Fraction(1, 2), (320, 720)),
        (Fraction(16, 15), (341, 360)),
        (Fraction(0), (320, 360)),
        (Fraction(1000), (320, 360)),
        (None, (320, 360)),
    ],
)
def test_pixels_become_square_by_growing_and_nonsense_is_square(
    aspect: Fraction | None, size_wh: tuple[int, int]
) -> None:
    stance = stance_of(None, aspect)

    assert upright_size(320, 360, stance) == size_wh
    assert upright_size(320, 360, Stance(True, pixel_aspect=stance.pixel_aspect)) == size_wh[::-1]


def test_a_picture_at_the_limit_shrinks_instead() -> None:
    assert square_size(7680, 4320, 2.0) == (7680, 2160)


@pytest.mark.parametrize(("name", "aspect"), [("a.mp4", 2), ("a.mkv", 2), ("a.ts", Fraction(1, 2)), ("a.mpg", 2)])
def test_a_video_of_pixels_that_are_not_square_is_looked_at_as_it_is_shown(
    tmp_path: Path, name: str, aspect: Fraction
) -> None:
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    with av.open(str(tmp_path / name), "w") as container:
        video = container.add_stream(codec, rate=FPS)
        # MPEG-2 states the shape of the picture, which must be one of four: 16:9 of 64x36 is square, so 32x36 is 2:1.
        video.width, video.height, video.pix_fmt = (32, 36, "yuv420p") if name == "a.mpg" else (64, 48, "yuv420p")
        video.codec_context.sample_aspect_ratio = Fraction(aspect)
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(picture(index, (video.width, video.height)), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        coded = video.width, video.height

    footage = VideoFile(tmp_path / name)
    frames, _, _ = all_of(footage)

    wanted = (coded[0] * 2, coded[1]) if aspect == 2 else (coded[0], coded[1] * 2)
    assert footage.size_wh == wanted
    assert {frame.rgb.shape for frame in frames} == {(wanted[1], wanted[0], 3)}
    assert {red_quarter(frame.rgb) for frame in frames} == {(0, 0)}


def test_a_turn_is_the_transpose_and_then_the_flips() -> None:
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)

    assert np.array_equal(turned(rgb, Stance(True, True, False)), np.rot90(rgb, -1))
    assert np.array_equal(turned(rgb, Stance(True, False, True)), np.rot90(rgb, 1))
    assert np.array_equal(turned(rgb, Stance(False, True, True)), rgb[::-1, ::-1])
