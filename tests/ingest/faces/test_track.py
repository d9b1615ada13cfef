import numpy as np
import pytest

from ingest.faces.align import TEMPLATE
from ingest.faces.appearance import looks
from ingest.faces.detect import Detection
from ingest.faces.track import PATIENCE, REMEMBERED, Tracker

RED, GREEN, BLUE = (200, 40, 40), (40, 180, 60), (40, 60, 200)
FRAME_US = 40_000


def face(x, y=100.0, size=60.0, score=0.9):
    box = np.array([x, y, size, size], np.float32)
    return Detection(box, (box[:2] + TEMPLATE * size).astype(np.float32), score)


class Stage:
    """A tracker, and people in plain colours before a grey wall."""

    def __init__(self, still=False):
        self.tracker, self.time_us = Tracker(still=still), 0

    def see(self, *people):
        """One detection each, of (detection, colour); then who is reported at which x."""
        picture = np.full((300, 900, 3), 128, np.uint8)
        for each, colour in people:
            x, y, width, height = each.box_xywh.astype(int)
            picture[max(y - height // 2, 0) : y + 3 * height, max(x - 20, 0) : x + width + 20] = colour
        found = [each for each, _ in people]
        boxes = np.array([each.box_xywh for each in found], np.float32).reshape(-1, 4)
        self.tracker.update(found, looks(picture, boxes), self.time_us, 900)
        self.time_us += FRAME_US
        return {track.person: float(track.box[0]) for track in self.tracker.live if track.confirmed}


def test_a_strong_face_is_a_person_at_once():
    assert Stage().see((face(300), RED)) == {1: 300.0}


def test_a_single_weak_face_is_nobody():
    stage = Stage()

    assert stage.see() == {}
    assert stage.see((face(300, score=0.45), RED)) == {}
    assert stage.see() == {}
    assert stage.tracker.live == []


@pytest.mark.parametrize("score", [0.5, 0.62, 0.7, 0.74])
def test_nobody_is_born_of_one_weak_look(score):
    """Neither in the first picture of a video nor later; the next looks at the same spot are weaker."""
    stage = Stage()

    assert stage.see((face(300, score=score), RED)) == {}
    assert [stage.see((face(300, score=0.45), RED)) for _ in range(100)] == [{}] * 100


def test_a_head_that_is_fairly_like_a_face_while_it_turns_is_nobody():
    stage = Stage()

    assert [stage.see((face(300, score=0.6), RED)) for _ in range(20)] == [{}] * 20  # 0.8 s


def test_a_still_head_that_is_like_a_face_now_and_then_is_nobody():
    stage = Stage()

    reported = [stage.see((face(300, score=0.52 if i % 5 == 0 else 0.44), RED)) for i in range(250)]

    assert reported == [{}] * 250


def test_a_likely_face_is_a_person_when_it_is_seen_again():
    stage = Stage()
    stage.see()

    assert stage.see((face(300, score=0.7), RED)) == {}
    assert stage.see((face(302, score=0.45), RED)) == {}
    assert stage.see((face(304, score=0.7), RED)) == {1: 304.0}


def test_a_fair_face_is_a_person_when_it_lasts():
    stage = Stage()

    reported = [stage.see((face(300, score=0.55), RED)) for _ in range(30)]

    assert reported == [{}] * 25 + [{1: 300.0}] * 5


@pytest.mark.parametrize(("frame_us", "score"), [(1_000_000, 0.55), (1_000_000, 0.9), (500_000, 0.55)])
def test_who_is_looked_at_seldom_is_a_person_by_the_third_look(frame_us, score):
    stage = Stage()
    for _ in range(3):
        reported = stage.see((face(300, score=score), RED))
        stage.time_us += frame_us - FRAME_US

    assert reported == {1: 300.0}


def test_a_fair_face_in_a_still_picture_is_a_person_for_there_is_no_second():
    stage = Stage(still=True)

    assert stage.see((face(300, score=0.55), RED), (face(600, score=0.45), GREEN)) == {1: 300.0}


def test_weak_detections_carry_a_track_on():
    stage = Stage()
    stage.see((face(300), RED))

    assert stage.see((face(305, score=0.36), RED)) == {1: 305.0}


def test_a_face_missed_for_long_is_no_longer_reported():
    stage = Stage()
    stage.see((face(300), RED))

    reported = [stage.see() for _ in range(PATIENCE + 1)]

    assert reported == [{1: 300.0}] * PATIENCE + [{}]


def test_who_returns_keeps_the_number():
    stage = Stage()
    for _ in range(5):
        stage.see((face(300), RED))
    for _ in range(200):  # eight seconds
        stage.see()

    assert stage.see((face(600), RED)) == {1: 600.0}


def test_somebody_else_gets_a_new_number():
    stage = Stage()
    for _ in range(5):
        stage.see((face(300), RED))
    for _ in range(20):
        stage.see()

    assert stage.see((face(300), GREEN)) == {2: 300.0}


def test_people_who_pass_each_other_keep_their_numbers():
    """Green walks behind red: while they overlap only red is detected, and green comes out on the other side."""
    stage = Stage()
    for step in range(60):
        red, green = face(300 + 5 * step), face(600 - 5 * step)
        apart = abs(float(red.box_xywh[0] - green.box_xywh[0])) > 50
        stage.tracker.live.sort(key=lambda track: -track.number)  # their order must not matter
        reported = stage.see(*[(red, RED), (green, GREEN)] if apart else [(red, RED)])

    assert reported == {1: 595.0, 2: 305.0}


def test_a_track_does_not_jump_to_a_face_of_other_colours():
    stage = Stage()
    for _ in range(5):
        stage.see((face(300), RED))

    reported = stage.see((face(310), BLUE))

    assert reported[2] == 310.0


def test_memory_of_people_is_bounded():
    stage = Stage()
    random = np.random.default_rng(0)
    for _ in range(2 * REMEMBERED):
        colour = tuple(int(each) for each in random.integers(0, 256, 3))
        stage.see((face(300), colour))
        for _ in range(PATIENCE + 1):
            stage.see()

    assert len(stage.tracker._lost) <= REMEMBERED
