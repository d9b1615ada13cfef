import cv2
import numpy as np
import pytest

from ingest.faces.align import TEMPLATE, cut
from ingest.faces.detect import CenterFace
from ingest.faces.quality import MODEL, angles, judge, sharpness
from mien.demo import read_portrait

FRAME_WH = (600, 400)


def posed(yaw, pitch, roll):
    """The five points of a head that is turned so, seen from far away."""
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    across = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    up = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    around = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return ((around @ across @ up @ MODEL.T).T[:, :2] * 60 + (300, 200)).astype(np.float32)


@pytest.mark.parametrize(
    "pose",
    [(0, 0, 0), (25, 0, 0), (-40, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 30), (0, 0, -80), (30, 0, 15)],
)
def test_a_turned_head_is_measured_as_turned(pose):
    assert angles(posed(*pose)) == pytest.approx(pose, abs=1.0)


def test_yaw_is_positive_when_the_nose_goes_to_the_right_of_the_picture():
    assert posed(25, 0, 0)[2, 0] > posed(0, 0, 0)[2, 0]


def test_pitch_is_positive_when_the_nose_goes_up():
    assert posed(0, 20, 0)[2, 1] < posed(0, 0, 0)[2, 1]


def test_a_frontal_portrait_looks_at_the_camera(shared_data):
    frame = cv2.imread(str(shared_data / "faces" / "london" / "001_neutral.jpg"))[..., ::-1].copy()
    found = CenterFace()(frame)[0]

    assert np.abs(angles(found.landmarks)).max() < 10


@pytest.fixture(scope="module")
def portrait_crop():
    return cut(read_portrait(), CenterFace()(read_portrait())[0].landmarks)


def test_sharpness_falls_with_blur(portrait_crop):
    seen = [sharpness(cv2.GaussianBlur(portrait_crop, (0, 0), width)) for width in (0.5, 1.5, 3, 6)]

    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.7
    assert seen[-1] < 0.1


def test_sharpness_does_not_follow_contrast(portrait_crop):
    pale = (portrait_crop // 3 + 100).astype(np.uint8)

    assert sharpness(pale) == pytest.approx(sharpness(portrait_crop), abs=0.12)  # a third of the steps is rounded away


def test_an_even_crop_is_not_sharp():
    assert sharpness(np.full((160, 160, 3), 128, np.uint8)) == 0.0


def test_a_crop_half_outside_the_frame_is_half_as_good(portrait_crop):
    whole = judge(portrait_crop, TEMPLATE * 160 + 100, 0.9, FRAME_WH)
    half = judge(portrait_crop, TEMPLATE * 160 + (-80, 100), 0.9, FRAME_WH)

    assert half.overall == pytest.approx(whole.overall / 2, rel=1e-6)


def test_overall_falls_with_size_blur_and_pose(portrait_crop):
    good = judge(portrait_crop, TEMPLATE * 160 + 100, 0.9, FRAME_WH)

    assert good.overall == pytest.approx(good.sharpness, abs=0.03)  # large and frontal: nothing else takes away
    assert judge(portrait_crop, TEMPLATE * 24 + 100, 0.9, FRAME_WH).overall == pytest.approx(good.overall / 4, rel=0.02)
    assert judge(portrait_crop, posed(60, 0, 0), 0.9, FRAME_WH).overall < 0.6 * good.overall
    assert judge(cv2.GaussianBlur(portrait_crop, (0, 0), 6), TEMPLATE * 160 + 100, 0.9, FRAME_WH).overall < 0.1
    assert good.score == 0.9


@pytest.mark.parametrize(("roll", "share"), [(30, 0.866), (-60, 0.5), (90, 0.0), (180, 0.0)])
def test_overall_falls_as_a_face_rolls_over(portrait_crop, roll, share):
    upright = judge(portrait_crop, posed(0, 0, 0), 0.9, FRAME_WH)

    rolled = judge(portrait_crop, posed(0, 0, roll), 0.9, FRAME_WH)

    assert rolled.overall == pytest.approx(share * upright.overall, abs=0.06)
