import cv2
import numpy as np
import pytest

from tests.worker.examples import a_face, a_progress, an_opening
from worker.reading.portrait import EDGE, MARGIN, PER_PERSON, Portraits


def never(source: str, session: str) -> bool:
    return False


def opened(keeps_pictures: bool = True) -> Portraits:
    portraits = Portraits(never)
    portraits.of(an_opening(keeps_pictures=keeps_pictures))
    return portraits


def test_a_portrait_is_a_small_jpeg_of_the_crop_in_its_colours() -> None:
    crop = np.zeros((160, 160, 3), np.uint8)
    crop[..., 0] = 200  # red

    body = opened().of(a_face(1, crop=crop))

    assert body is not None
    seen = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert seen.shape == (EDGE, EDGE, 3)
    assert np.abs(seen.astype(int) - (200, 0, 0)).max() <= 4  # JPEG of a flat colour
    assert len(body) < 2_000


def test_no_portraits_where_the_source_keeps_no_pictures() -> None:
    assert opened(keeps_pictures=False).of(a_face(1)) is None
    assert Portraits(never).of(a_face(1)) is None


def test_the_store_is_asked_once_about_a_session_opened_earlier() -> None:
    asked = []
    portraits = Portraits(lambda source, session: not asked.append((source, session)))

    assert portraits.of(a_face(1)) is not None
    assert portraits.of(a_face(2, "bob")) is not None

    assert asked == [("cam", "s1")]


def test_only_a_clearly_better_face_is_kept_and_each_person_counts_alone() -> None:
    portraits = opened()
    offered = [("ann", 0.5), ("ann", 0.5 * MARGIN), ("bob", 0.1), ("ann", 0.5 * MARGIN + 0.01), ("ann", 0.3)]

    kept = [portraits.of(a_face(1, person, quality=quality)) is not None for person, quality in offered]

    assert kept == [True, False, True, True, False]


def test_a_person_gets_a_bounded_number_of_portraits() -> None:
    portraits = opened()

    kept = sum(portraits.of(a_face(n, quality=1e-9 * (MARGIN + 0.1) ** n)) is not None for n in range(60))

    assert kept == PER_PERSON


def test_memory_is_bounded_however_many_people_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.reading.portrait.REMEMBERED", 5)
    portraits = opened()
    for n in range(20):
        portraits.of(a_face(n, f"person {n}"))

    assert list(portraits._best) == [f"person {n}" for n in range(15, 20)]


def test_other_records_have_no_portrait() -> None:
    assert opened().of(a_progress(1)) is None
