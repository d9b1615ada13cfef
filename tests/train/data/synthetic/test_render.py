"""Drawing: what is drawn lies where the mesh says, and at rest it is the photograph."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from contract.errors import EngineUnavailable
from tests.components import APT, missing
from train.data.synthetic.fit import UPRIGHT, Fitted
from train.data.synthetic.mesh import CORNERS, Mesh
from train.data.synthetic.render import EDGE, Head, Renderer, View, head_of, light

SCALE = 7.0


@pytest.fixture(scope="module")
def renderer(small_mesh: Mesh) -> Iterator[Renderer]:
    try:
        made = Renderer(small_mesh)
    except EngineUnavailable as error:
        missing(f"{error}: apt-get install -y {APT['egl']}")
    with made:
        yield made


@pytest.fixture(scope="module")
def head(small_mesh: Mesh) -> Head:
    """A photograph of smooth noise, 160 px, looked at straight."""
    random = np.random.default_rng(0)
    rough = random.uniform(30, 220, (10, 10, 3)).astype(np.float32)
    photograph = np.clip(cv2.resize(rough, (160, 160), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    fitted = Fitted(small_mesh.neutral, SCALE * UPRIGHT, np.array([80.0, 80.0]), 0.0)
    return head_of(small_mesh, fitted, photograph)


def test_at_rest_the_drawing_is_the_photograph(renderer: Renderer, head: Head, small_mesh: Mesh) -> None:
    """Whatever the fit: nothing that is drawn betrays itself where nothing moves."""
    still = np.zeros_like(small_mesh.neutral)
    eyes = 6.4 * SCALE  # as far apart as in the photograph

    frame, points = renderer.draw(head, still, View(eyes_px=eyes))

    seen = head.fitted.project(small_mesh.neutral)[small_mesh.landmarks]
    shift = points.mean(0) - seen.mean(0)
    assert np.abs(points - seen - shift).max() < 0.2  # the landmarks of the sheet are no perfect eyes
    wanted = cv2.warpAffine(
        head.photograph, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (EDGE, EDGE), borderMode=cv2.BORDER_REPLICATE
    )
    inner = slice(40, EDGE - 40)
    difference = np.abs(frame[inner, inner].astype(int) - wanted[inner, inner])
    assert difference.mean() < 1.5  # of 255: two ways of sampling between pixels


def test_corners_of_a_mouth_that_smiles_are_drawn_higher(renderer: Renderer, head: Head, small_mesh: Mesh) -> None:
    still, smile = np.zeros_like(small_mesh.neutral), small_mesh.expression({"mouthSmile_L": 1.0, "mouthSmile_R": 1.0})

    one, rest = renderer.draw(head, still, View())
    other, moved = renderer.draw(head, smile, View())

    assert (moved[list(CORNERS), 1] < rest[list(CORNERS), 1] - 3).all()  # 0.8 units of about 7 px
    changed = np.abs(one.astype(int) - other).sum(2) > 8
    around = np.zeros_like(changed)
    for x, y in rest[list(CORNERS)].astype(int):
        around[y - 30 : y + 30, x - 30 : x + 30] = True
    assert changed.any()
    assert not changed[~around].any()  # elsewhere nothing moved


def test_the_same_is_drawn_the_same(renderer: Renderer, head: Head, small_mesh: Mesh) -> None:
    view = View(turn_rad=(0.1, -0.2, 0.05), light=(1.0, 0.5, 1.0), lamp=0.7)
    jaw = small_mesh.expression({"jawOpen": 0.5})

    assert np.array_equal(renderer.draw(head, jaw, view)[0], renderer.draw(head, jaw, view)[0])


def test_a_head_that_turns_right_moves_its_nose_right(renderer: Renderer, head: Head, small_mesh: Mesh) -> None:
    still = np.zeros_like(small_mesh.neutral)

    straight, turned = (renderer.draw(head, still, View(turn_rad=(0, yaw, 0)))[1] for yaw in (0.0, 0.3))

    to_nose = [points[30] - points[[36, 45]].mean(0) for points in (straight, turned)]
    assert abs(to_nose[1][0] - to_nose[0][0]) > 5  # px: the nose stands out by three units


def test_light_from_the_left_brightens_what_looks_left(small_mesh: Mesh) -> None:
    normals = small_mesh.normals(small_mesh.neutral)

    lit = light(normals, normals, View(light=(-1.0, 0.0, 1.0), lamp=1.0))
    unchanged = light(normals, normals, View(lamp=0.0, light=(-1.0, 0.0, 1.0)))

    assert lit[small_mesh.neutral[:, 0] < -4].mean() > 1.3 * lit[small_mesh.neutral[:, 0] > 4].mean()
    assert np.array_equal(unchanged, np.ones_like(unchanged))
