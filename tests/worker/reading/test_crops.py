import cv2
import numpy as np
import pytest

from tests.worker.examples import a_crop
from worker.reading.crops import CROP_EDGE_LIMIT, Decoder, UnreadableCrop, pixels, resized


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
        (b"\xff\xd8 nothing \xff\xd9", "begin and end as a JPEG and hold none"),
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
