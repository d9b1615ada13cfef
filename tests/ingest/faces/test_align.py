import cv2
import numpy as np
import pytest

from ingest.faces.align import TEMPLATE, DegenerateLandmarks, cut, similarity
from ingest.faces.detect import CenterFace
from mien.demo import read_portrait


def turned(points, degrees, scale, shift):
    angle = np.radians(degrees)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * scale + shift


@pytest.mark.parametrize("degrees", [0, 30, -90, 179])
@pytest.mark.parametrize("scale", [8.0, 160.0, 3000.0])
def test_a_moved_template_is_brought_back(degrees, scale):
    landmarks = turned(TEMPLATE, degrees, scale, (400, 300))

    matrix = similarity(landmarks)

    assert landmarks @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(TEMPLATE, abs=1e-9)


def test_the_matrix_is_the_one_of_umeyama():
    """Against the textbook form by singular values (Umeyama 1991, eq. 40-43)."""
    landmarks = turned(TEMPLATE, 12, 90, (50, 60)) + np.random.default_rng(1).normal(0, 4, (5, 2))
    source, target = landmarks - landmarks.mean(axis=0), TEMPLATE - TEMPLATE.mean(axis=0)
    u, values, v = np.linalg.svd(target.T @ source / 5)
    signs = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    rotation, scale = u @ np.diag(signs) @ v, (values * signs).sum() / source.var(axis=0).sum()

    assert similarity(landmarks)[:, :2] == pytest.approx(rotation * scale, abs=1e-12)


@pytest.mark.parametrize(
    "landmarks",
    [
        np.full((5, 2), 7.0),  # all in one place
        TEMPLATE * 0.5,  # less than a pixel
        np.full((5, 2), np.nan),
        np.array([(0, 0), (50, 0), (25, 25), (0, 50), (50, 50)])[[3, 0, 2, 4, 1]] * np.array([1, -1]),  # scrambled
    ],
)
def test_points_that_are_no_face_are_refused(landmarks):
    with pytest.raises(DegenerateLandmarks):
        similarity(landmarks)


@pytest.mark.parametrize("edge", [48, 112, 160, 224])
@pytest.mark.parametrize("scale", [20.0, 100.0, 700.0])
def test_what_lies_at_the_landmarks_lands_on_the_template(edge, scale):
    """A soft blob at each landmark, of a size that survives in the crop: its centre is where the template says."""
    landmarks = turned(TEMPLATE, 17, scale, (500.25, 380.5))
    where = np.stack(np.meshgrid(np.arange(1400), np.arange(1200)), axis=-1) + 0.5
    for landmark, wanted in zip(landmarks, TEMPLATE * edge, strict=True):
        blob = np.exp(-((where - landmark) ** 2).sum(axis=2) / (2 * (0.05 * scale) ** 2))
        frame = np.repeat((255 * blob).astype(np.uint8)[..., None], 3, axis=2)

        crop = cut(frame, landmarks, edge)[..., 0].astype(float)

        places = np.stack(np.meshgrid(np.arange(edge), np.arange(edge)), axis=-1) + 0.5
        centre = (places * crop[..., None]).sum(axis=(0, 1)) / crop.sum()
        assert centre == pytest.approx(wanted, abs=0.02 * edge / 2)  # a hundredth of the edge; coarsest at 20 px


def test_the_crop_is_upright_however_the_head_is_held():
    detector, portrait = CenterFace(), read_portrait()
    upright = cut(portrait, detector(portrait)[0].landmarks)
    turn = cv2.getRotationMatrix2D((225, 120), 25, 1.0)
    tilted_frame = cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    tilted = cut(tilted_frame, detector(tilted_frame)[0].landmarks)

    left_tilted = cut(tilted_frame, detector(portrait)[0].landmarks)

    middle = (slice(40, 120), slice(40, 120))
    alike, unlike = (np.corrcoef(upright[middle].ravel(), each[middle].ravel())[0, 1] for each in (tilted, left_tilted))
    assert alike > 0.7  # not 1: the detector sees 3° less of the 25°
    assert alike > unlike + 0.2


def test_outside_the_frame_the_border_is_replicated():
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[:, 0] = (10, 20, 30)

    crop = cut(frame, TEMPLATE * 80 + (-60, 0))

    assert (crop[60:100, :20] == (10, 20, 30)).all()


def test_a_huge_face_does_not_alias():
    """Stripes finer than a pixel of the crop become grey, not other stripes."""
    frame = np.zeros((2000, 2000, 3), np.uint8)
    frame[:, ::2] = 255

    crop = cut(frame, TEMPLATE * 1600 + 200)

    assert crop.std() < 6
    assert abs(crop.mean() - 127.5) < 3


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_frame_smaller_than_the_face_is_no_trouble(size):
    crop = cut(np.full((size, size, 3), 77, np.uint8), TEMPLATE * 2000 - 900)

    assert crop.shape == (160, 160, 3)
    assert (crop == 77).all()
