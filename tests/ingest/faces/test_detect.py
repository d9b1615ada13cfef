import numpy as np
import pytest

from bench.recall import measure
from contract.errors import BadModel
from ingest.faces.detect import LIVE_LONG_SIDE, STILL_LONG_SIDE, CenterFace, decode, iou, shrink
from mien.demo import PORTRAIT_FACE_XYWH, read_portrait


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    return CenterFace()


def test_the_portrait_holds_one_face_with_its_points_in_place(detector):
    found = detector(read_portrait())

    assert len(found) == 1
    assert iou(found[0].box_xywh[None], np.array([PORTRAIT_FACE_XYWH], np.float32))[0, 0] > 0.75
    eyes, nose, mouth = found[0].landmarks[:2], found[0].landmarks[2], found[0].landmarks[3:]
    assert np.abs(eyes - [(204, 102), (247, 105)]).max() < 4  # px, read off the picture
    assert np.abs(nose - (224, 124)).max() < 4
    assert np.abs(mouth - [(205, 142), (241, 144)]).max() < 4
    assert found[0].score > 0.8


def test_the_int8_net_sees_what_the_full_net_sees(detector):
    one, other = detector(read_portrait())[0], CenterFace(precision="fp32")(read_portrait())[0]

    assert np.abs(one.box_xywh - other.box_xywh).max() < 3  # px of 512, less than 2 of the net's 320
    assert np.abs(one.landmarks - other.landmarks).max() < 3
    assert abs(one.score - other.score) < 0.03


def test_a_mirrored_picture_gives_mirrored_points(detector):
    plain, mirrored = detector(read_portrait())[0], detector(read_portrait()[:, ::-1].copy())[0]

    back = np.array([512, 0], np.float32) - mirrored.landmarks * [1, -1]
    assert np.abs(back[[1, 0, 2, 4, 3]] - plain.landmarks).max() < 5  # px: the net is not exactly symmetric


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 900), (37, 41), (720, 1280), (1080, 1920)])
def test_any_size_of_picture_is_taken(detector, size_hw):
    assert detector(np.full((*size_hw, 3), 90, np.uint8)) == []


def test_noise_holds_no_face(detector):
    assert detector(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)) == []


def test_a_face_may_reach_over_the_edge(detector):
    half = read_portrait()[:, 215:]

    found = detector(half)

    assert len(found) == 1
    assert found[0].box_xywh[0] < 5


@pytest.mark.parametrize("size_wh", [(640, 480), (1280, 720), (333, 517), (64, 48)])
def test_shrinking_keeps_shape_and_place(size_wh):
    frame = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    frame[: size_wh[1] // 2, : size_wh[0] // 2] = 255

    small = shrink(frame, 320)

    assert small.picture.shape[0] % 32 == small.picture.shape[1] % 32 == 0
    assert max(small.size_wh) <= 320
    assert abs(small.size_wh[0] * small.step - size_wh[0]) <= small.step
    corner = np.argmin(small.picture[2, :, 0] > 128) * small.step
    assert abs(corner - size_wh[0] // 2) <= 1.5 * small.step


def test_decoding_a_map_made_by_hand():
    cells = np.full((8, 8, 15), 0.0, np.float32)
    cells[..., 0] = -9
    cells[3, 5, 0] = 2.0  # score 0.88
    cells[3, 5, 1:3] = np.log([6, 5])  # 24 px high, 20 wide
    cells[3, 5, 3:5] = [0.25, -0.25]  # y, x
    cells[3, 5, 5:] = np.array([(0.3, 0.2), (0.3, 0.8), (0.5, 0.5), (0.8, 0.3), (0.8, 0.7)]).ravel()
    cells[3, 6, 0] = 1.9  # beside the peak: not another face

    found = decode(cells, 2.0, 0.35)

    assert len(found) == 1
    assert found[0].box_xywh == pytest.approx([22, 6, 40, 48], abs=1e-3)  # centre (21, 15) px of the net, twice
    assert found[0].landmarks[1] == pytest.approx([22 + 0.8 * 40, 6 + 0.3 * 48], abs=1e-3)
    assert found[0].score == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)


def test_of_two_boxes_on_one_face_the_stronger_stays():
    cells = np.zeros((8, 8, 15), np.float32)
    cells[..., 0] = -9
    for row, heat in ((2, 1.0), (4, 3.0)):
        cells[row, 4, 0] = heat
        cells[row, 4, 1:3] = np.log(8)

    found = decode(cells, 1.0, 0.35)

    assert [each.score for each in found] == pytest.approx([1 / (1 + np.exp(-3))])


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(BadModel, match=r"centerface\.int8\.json"):
        CenterFace(folder=tmp_path)


@pytest.mark.parametrize("long_side", [LIVE_LONG_SIDE, STILL_LONG_SIDE])
def test_annotated_faces_are_found_and_nothing_else(shared_data, long_side):
    """IoU 0.5; 140 faces of at least 20 px; the one marked difficult counts for neither side."""
    seen = measure(shared_data / "faces", CenterFace(long_side, threads=2))

    assert seen.faces == 140
    assert seen.share >= 0.95  # measured: 1.00
    assert seen.false_share <= 0.02  # measured: 0.00
