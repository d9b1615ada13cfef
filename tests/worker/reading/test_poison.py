import hashlib

import numpy as np
import pytest

from contract.errors import EngineDoesNotFit, EngineFailed, TooManyRejected
from contract.records import Delivery, Unreadable
from tests.worker.examples import a_crop, a_face
from tests.worker.fakes import BytesReader
from worker.reading.poison import NOT_FINITE, REASON_LIMIT, Limits, RejectLimit, read_isolating, rejection


def test_halving_asks_for_good_crops_in_as_large_parts_as_it_can() -> None:
    reader = BytesReader()

    readings = read_isolating(reader, [b"face"] * 5 + [b"poison"] + [b"face"] * 10)

    assert [isinstance(reading, str) for reading in readings] == [False] * 5 + [True] + [False] * 10
    assert readings[5] == "the nets fail on it: RuntimeError: the kernel choked"
    assert reader.batches == [16, 8, 4, 4, 2, 1, 1, 2, 8]


def test_no_crops_ask_nobody() -> None:
    reader = BytesReader()

    assert read_isolating(reader, []) == []
    assert reader.batches == []


def test_numbers_that_are_none_are_no_reading() -> None:
    readings = read_isolating(BytesReader(), [b"face", b"not a number"])

    assert readings[1] == NOT_FINITE
    assert np.allclose(readings[0], 0.5)


@pytest.mark.parametrize("error", [EngineFailed("gone"), EngineDoesNotFit("another shape"), MemoryError()])
def test_what_is_no_crops_fault_is_not_looked_for_in_crops(error: Exception) -> None:
    calls: list[int] = []

    def read(crops: object) -> np.ndarray:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        read_isolating(read, [b"a", b"b"])
    assert calls == [1]


def test_a_rejection_names_place_and_hash_and_one_short_line() -> None:
    message = Unreadable(reason="x" * 900, key="cam", sha256="ab", size=7)

    one = rejection(Delivery("log", 3, 17, message), "first\nsecond " + "x" * 900)

    assert (one.log, one.partition, one.offset, one.key, one.sha256, one.size) == ("log", 3, 17, "cam", "ab", 7)
    assert one.reason.startswith("first second xxx")
    assert len(one.reason) == REASON_LIMIT


def test_a_rejected_crop_is_recognised_by_the_hash_of_its_bytes() -> None:
    jpeg, pixels = rejection(Delivery("log", 0, 0, a_face(1, crop=b"body")), ""), a_crop(2)

    assert (jpeg.sha256, jpeg.size, jpeg.key) == (hashlib.sha256(b"body").hexdigest(), 4, "cam")
    raw = rejection(Delivery("log", 0, 0, a_face(1, crop=pixels)), "")
    assert raw.sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()


def noted(pattern: str, **limits: float) -> None:
    """Note «.» as read and «x» as rejected."""
    limit = RejectLimit(Limits(**limits))  # type: ignore[arg-type]
    for each in pattern:
        limit.note(each == "x", "bad")


def test_a_row_of_rejects_is_broken_by_one_reading() -> None:
    noted("xxxx." * 9 + "xxxx", consecutive=5, share=1.0)
    with pytest.raises(TooManyRejected, match="5 rejected one after the other, the last one: bad"):
        noted("xxxx." + "xxxxx", consecutive=5, share=1.0)


def test_the_share_counts_the_last_ones_only_and_only_once_there_are_enough() -> None:
    noted("x" * 9, window=10)
    noted("xxxxx....." * 20, window=10)
    with pytest.raises(TooManyRejected, match="6 of the last 10 rejected, wanted at most 50%"):
        noted("." * 50 + "xx.xxx.x", window=10)
