import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.worker.examples import a_crop
from worker.reading import CROP_EDGE_LIMIT
from worker.reading.crops import Decoder, UnreadableCrop, pixels, resized


def jpeg(picture_rgb: np.ndarray, quality: int = 95) -> bytes:
    return cv2.imencode(".jpg", picture_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def test_raw_pixels_are_handed_on_untouched() -> None:
    crop = a_crop(1)

    assert pixels(crop) is crop


def test_a_jpeg_is_decoded_in_rgb_order() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200

    seen = pixels(jpeg(red))

    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - red).max() <= 3  # JPEG of a flat colour


JPEG = jpeg(a_crop(1))


@pytest.mark.parametrize(
    ("crop", "words"),
    [
        (b"", "0 bytes"),
        (b"not a picture\xff\xd9", "wanted a JPEG"),
        (cv2.imencode(".png", a_crop(1))[1].tobytes() + b"\xff\xd9", "wanted a JPEG"),
        (b"\xff\xd8\xff\xfe\x00\x09nothing\xff\xd9", "begin and end as a JPEG and hold none"),
        (b"\xff\xd8 nothing \xff\xd9", "wanted the next segment"),
        (JPEG[: len(JPEG) // 2], "wanted a whole JPEG"),  # its lower half would be read as grey
        (jpeg(np.zeros((32, 16, 3), np.uint8)), r"shape \(32, 16, 3\)"),
        (jpeg(np.zeros((CROP_EDGE_LIMIT + 8,) * 2 + (3,), np.uint8)), f"edges up to {CROP_EDGE_LIMIT} px"),
        (np.zeros((CROP_EDGE_LIMIT + 8,) * 2 + (3,), np.uint8), f"edge up to {CROP_EDGE_LIMIT} px"),
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\)"),
        (np.zeros((0, 0, 3), np.uint8), r"shape \(0, 0, 3\)"),
        (np.zeros((8, 8, 3), np.float32), "float32, wanted u8"),
        ("face.jpg", "a crop of str"),
    ],
)
def test_what_is_no_square_colour_picture_is_named(crop: object, words: str) -> None:
    with pytest.raises(UnreadableCrop, match=words):
        pixels(crop)  # type: ignore[arg-type]


def test_a_small_file_that_states_a_huge_picture_is_refused_undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    at = JPEG.index(b"\xff\xc0")  # baseline frame header: length, precision, height, width
    bomb = JPEG[: at + 5] + (30_000).to_bytes(2, "big") * 2 + JPEG[at + 9 :]
    monkeypatch.setattr(cv2, "imdecode", None)

    with pytest.raises(UnreadableCrop, match="a JPEG that states 30000 x 30000 px"):
        pixels(bomb)


def a_jpeg_with(inserted: bytes, *, before: bytes, sized: int | None = None) -> bytes:
    """The JPEG with bytes before a marker, and another stated size."""
    frame = JPEG.index(b"\xff\xc0")
    body = JPEG if sized is None else JPEG[: frame + 5] + sized.to_bytes(2, "big") * 2 + JPEG[frame + 9 :]
    at = body.index(before)
    return body[:at] + inserted + body[at:]


FRAME_OF_32 = JPEG[JPEG.index(b"\xff\xc0") :][:19]
STATES_OTHERWISE = {
    "a stray byte before the frame header": a_jpeg_with(b"\x00", before=b"\xff\xc0", sized=30_000),
    "fill bytes before the frame header": a_jpeg_with(b"\xff\xff", before=b"\xff\xc0", sized=30_000),
    "a small frame header in front": a_jpeg_with(FRAME_OF_32, before=b"\xff\xc0", sized=30_000),
    "a small frame header behind": a_jpeg_with(FRAME_OF_32, before=b"\xff\xda", sized=30_000),
    "a small frame header in a comment": a_jpeg_with(
        b"\xff\xfe\x00\x15" + FRAME_OF_32, before=b"\xff\xc0", sized=30_000
    ),
    "a restart marker among the segments": a_jpeg_with(b"\xff\xd0", before=b"\xff\xc0", sized=30_000),
    "a segment shorter than its own length": a_jpeg_with(b"\xff\xfe\x00\x00", before=b"\xff\xc0", sized=30_000),
    "no height": a_jpeg_with(b"", before=b"\xff\xc0", sized=0),
    "a thousand scans": JPEG[:-2] + b"\xff\xda" * 1000 + JPEG[-2:],
}


@pytest.mark.parametrize("bomb", STATES_OTHERWISE.values(), ids=STATES_OTHERWISE)
def test_a_jpeg_whose_size_a_decoder_may_see_otherwise_is_refused_undecoded(
    bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)

    with pytest.raises(UnreadableCrop):
        pixels(bomb)


def test_a_picture_that_decodes_to_another_size_than_stated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda body, how: np.zeros((64, 64, 3), np.uint8))

    with pytest.raises(UnreadableCrop, match="states 32 x 32 px and decodes to 64 x 64 px"):
        pixels(JPEG)


DECODES_WITHOUT_OUR_PARSER = """
import resource, sys
from worker.reading import limit_decoder
limit_decoder()
import cv2, numpy as np
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
try:
    cv2.imdecode(np.frombuffer(sys.stdin.buffer.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
except cv2.error as error:
    print(error.err)
"""


def test_the_decoder_of_a_worker_has_a_limit_of_its_own() -> None:
    bomb = STATES_OTHERWISE["a stray byte before the frame header"]

    run = subprocess.run([sys.executable, "-c", DECODES_WITHOUT_OUR_PARSER], input=bomb, capture_output=True)

    assert b"MAX_IMAGE_PIXELS" in run.stdout


def test_two_hundred_damaged_crops_are_pictures_of_the_stated_size_or_named() -> None:
    rng = np.random.default_rng(11)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        body = bytearray(JPEG)
        for _ in range(rng.integers(1, 5)):
            at = int(rng.integers(0, len(body)))
            body[at : at + int(rng.integers(0, 3))] = rng.bytes(int(rng.integers(0, 3)))
        try:
            assert max(pixels(bytes(body)).shape) <= CROP_EDGE_LIMIT
            outcomes["read"] += 1
        except UnreadableCrop as flaw:
            outcomes["refused"] += str(flaw).isprintable()

    assert min(outcomes.values()) > 10


def test_shrinking_averages_over_areas() -> None:
    checked = (np.indices((160, 160)).sum(0) % 2 * 200).astype(np.uint8)[..., None].repeat(3, 2)

    small = resized([checked, checked], 80)

    assert small.shape == (2, 80, 80, 3)
    assert (small == 100).all()  # mean of every 2x2; picking pixels would give 0 or 200


def test_growing_interpolates_and_an_equal_edge_changes_nothing() -> None:
    crop = a_crop(2, 32)

    same, grown = resized([crop], 32)[0], resized([crop], 48)[0]

    assert (same == crop).all()
    assert grown.shape == (48, 48, 3)
    assert abs(float(grown.mean()) - float(crop.mean())) < 2  # of 255; a resize keeps the brightness


def test_crops_of_several_sizes_make_one_batch() -> None:
    assert resized([a_crop(1, 32), a_crop(2, 160), a_crop(3, 64)], 64).shape == (3, 64, 64, 3)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64])
def test_many_crops_are_decoded_in_order_each_bad_one_named_in_its_place(threads: int, count: int) -> None:
    bodies = [jpeg(a_crop(n)) if n % 5 else b"poison" for n in range(count)]

    seen = Decoder(threads)(bodies)

    assert len(seen) == count
    for n, picture in enumerate(seen):
        if n % 5:
            assert (picture == pixels(bodies[n])).all()
        else:
            assert isinstance(picture, UnreadableCrop)


def test_pictures_are_not_copied_by_decoding() -> None:
    crops = [a_crop(n) for n in range(20)]

    assert all(one is other for one, other in zip(Decoder(2)(crops), crops, strict=True))
