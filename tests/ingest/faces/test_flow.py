import cv2
import numpy as np
import pytest

from ingest.faces.align import TEMPLATE
from ingest.faces.detect import CenterFace, shrink
from ingest.faces.flow import STILL, motion
from mien.demo import read_portrait


@pytest.fixture(scope="module")
def portrait_face():
    return CenterFace()(read_portrait())[0]


def moved(frame, turn_degrees, scale, shift):
    matrix = cv2.getRotationMatrix2D((225, 120), turn_degrees, scale)
    matrix[:, 2] += shift
    return cv2.warpAffine(frame, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE), matrix


def grey(frame):
    return cv2.cvtColor(shrink(frame, 320).picture, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize(
    ("turn", "scale", "shift"),
    [(0, 1.0, (0, 0)), (0, 1.0, (7, -5)), (3, 1.0, (0, 0)), (0, 1.05, (2, 2)), (-4, 0.96, (-6, 3))],
)
def test_points_go_where_the_picture_goes(portrait_face, turn, scale, shift):
    frame = read_portrait()
    after, matrix = moved(frame, turn, scale, shift)

    found = motion(grey(frame), grey(after), 1.6, portrait_face.box_xywh, portrait_face.landmarks)

    wanted = portrait_face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(found.points(portrait_face.landmarks) - wanted).max() < 1.2  # px of the frame, 0.75 of the net's
    assert found.box(portrait_face.box_xywh)[2:] == pytest.approx(portrait_face.box_xywh[2:] * scale, rel=0.03)
    assert found.sure > 0.7


def test_nothing_is_followed_into_another_picture(portrait_face):
    other = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)

    found = motion(grey(read_portrait()), grey(other), 1.6, portrait_face.box_xywh, portrait_face.landmarks)

    assert found.sure < 0.5


@pytest.mark.parametrize("corner", [(-200.0, 50.0), (600.0, 50.0), (50.0, 900.0)])
def test_a_face_outside_the_frame_is_not_followed(corner):
    box = np.array([*corner, 40, 40], np.float32)
    before = grey(read_portrait())

    found = motion(before, before, 1.6, box, (box[:2] + TEMPLATE * 40).astype(np.float32))

    assert found == STILL or found.sure < 0.5
