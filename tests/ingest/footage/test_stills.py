import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from contract.errors import RefusedSource, UnreadableVideo
from ingest.footage.stated import stated_size
from ingest.footage.stills import StillPicture, picture_file
from tests.ingest.clips import all_of, picture, png_of_zeros, shown_index

ENDINGS = [".jpg", ".png", ".webp", ".bmp", ".tiff"]


def encoded(ending: str, size_wh: tuple[int, int] = (61, 40)) -> bytes:
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == ".webp" else []  # above 100: lossless
    return cv2.imencode(ending, picture(3, size_wh)[..., ::-1], options)[1].tobytes()


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF block that says how the camera was held."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_picture_is_a_source_of_one_frame(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(encoded(ending))

    still = StillPicture(path)
    frames, holes, end = all_of(still)

    assert still.size_wh == (61, 40)
    assert [(frame.index, frame.media_time) for frame in frames] == [(0, 0)]
    assert (holes, end.frames, end.media_time) == ([], 1, 1)
    tolerance = 12 if ending == ".jpg" else 0  # JPEG halves the colour's resolution
    assert np.abs(frames[0].rgb[5:15, 5:25].astype(int) - (220, 20, 20)).max() <= tolerance  # RGB, not BGR


@pytest.mark.parametrize(("orientation", "size_wh"), [(1, (61, 40)), (3, (61, 40)), (6, (40, 61)), (8, (40, 61))])
def test_a_picture_is_turned_upright_by_its_exif_orientation(
    tmp_path: Path, orientation: int, size_wh: tuple[int, int]
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(with_orientation(encoded(".jpg"), orientation))

    still = StillPicture(path)
    frame = all_of(still)[0][0]

    at = {1: (5, 5), 3: (-6, -6), 6: (5, -6), 8: (-6, 5)}[orientation]  # where the red quarter's corner goes
    assert still.size_wh == size_wh
    assert frame.rgb[at][0] > 150 > frame.rgb[at][1]
    assert frame.rgb.flags.c_contiguous


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_size_is_read_from_the_header_alone(ending: str) -> None:
    assert stated_size(encoded(ending, (333, 77))) == (333, 77)


def test_lossy_webp_states_its_size_too() -> None:
    content = cv2.imencode(".webp", picture(0, (300, 200)), [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes()

    assert stated_size(content) == (300, 200)


def test_a_picture_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(16_000, 16_000, content=False))  # no pixels: decoding would fail, refusing does not

    with pytest.raises(RefusedSource, match=r"bomb\.png is a picture of 16000x16000 px; wanted .* 64 megapixels"):
        StillPicture(path)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"hello", "text"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (png_of_zeros(50, 50, content=False), "damaged or cut off"),
        (b"II*\0\xff\xff\xff\x7f", "a TIFF picture"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(50), "an MP4"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, seen: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)

    with pytest.raises(UnreadableVideo, match=rf"a\.png .*({seen}).*; wanted a JPEG, PNG"):
        StillPicture(path)


def test_no_mutant_of_a_picture_crashes(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "a"
    refused = 0

    for ending in ENDINGS:
        content = encoded(ending)
        for _ in range(40):
            damaged = bytearray(content)
            for place in rng.integers(min(len(damaged), 300), size=4):
                damaged[place] = int(rng.integers(256))
            path.write_bytes(damaged[: int(rng.integers(1, len(damaged) + 1))] if rng.random() < 0.3 else damaged)
            try:
                rgb = all_of(StillPicture(path))[0][0].rgb
            except (UnreadableVideo, RefusedSource):
                refused += 1
            else:
                assert rgb.ndim == 3

    assert 20 < refused < 200


def test_a_jpeg_without_its_end_is_looked_at_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    whole = encoded(".jpg", (256, 256))
    for content in (whole[:-2], whole[: len(whole) * 2 // 3]):
        path.write_bytes(content)
        still = StillPicture(path)
        frame = all_of(still)[0][0]
        assert frame.rgb.shape == (256, 256, 3)
        assert frame.rgb[20, 20, 0] > 150  # the red quarter is above
        assert still.notes == ("is cut off: the picture is looked at as far as it goes",)


def test_pages_behind_the_first_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    cv2.imwritemulti(str(path), [picture(index, (61, 40)) for index in range(3)])

    assert picture_file(path).notes == ("has 3 pages; only the first is looked at",)


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_a_picture_that_moves_is_looked_at_whole(tmp_path: Path, name: str) -> None:
    moving = cv2.Animation()
    moving.frames = [cv2.cvtColor(picture(index, (64, 48)), cv2.COLOR_RGB2BGRA) for index in range(4)]
    moving.durations = [100, 200, 100, 100]
    if not cv2.imwriteanimation(str(tmp_path / name), moving):
        pytest.skip(f"OpenCV writes no animated {name[2:]} here")

    footage = picture_file(tmp_path / name)
    frames, holes, end = all_of(footage)

    assert [frame.media_time for frame in frames] == [0, 100_000, 300_000, 400_000]
    assert (footage.size_wh, holes, end.media_time) == ((64, 48), [], 500_000)
    assert [shown_index(frame, 4) for frame in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("brand", "kind"), [(b"avif", "an AVIF picture"), (b"heic", "a HEIC picture"), (b"mif1", "a HEIF picture")]
)
def test_the_true_format_is_named(tmp_path: Path, brand: bytes, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\0\0\0\x20ftyp" + brand + bytes(200))

    with pytest.raises(UnreadableVideo, match=f"photo.jpg holds {kind}"):
        picture_file(path)


def test_a_name_cannot_drive_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb.jpg"
    path.write_bytes(b"no picture")

    with pytest.raises(UnreadableVideo) as caught:
        picture_file(path)
    assert str(caught.value).isprintable()
