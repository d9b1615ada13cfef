from dataclasses import replace

import numpy as np
import pytest

from bench.scenes.cutouts import FACE_HEIGHT, Person, Pose, cut_out
from bench.scenes.paths import Path
from bench.scenes.scene import Scene, frames


def actor(colour):
    """A face-sized block in one colour, on nothing."""
    rgba = np.zeros((300, 200, 4), np.uint8)
    rgba[50 : 50 + FACE_HEIGHT, 40:160] = (*colour, 255)
    return Person("block", (Pose(rgba, np.array([40, 50, 120, FACE_HEIGHT], np.float32), rgba[..., 0] < 0),), False)


def still(x, size):
    return Path(np.array([0.0, 9.0]), np.array([(x, 150.0)] * 2), np.array([size] * 2), (0.0, 0.1))


def made(*paths, pillar=False):
    people = tuple(str(i) for i in range(len(paths)))
    return Scene(0, (640, 360), 10.0, None, 0.5, people, (None,) * len(paths), paths, pillar, False)


COLOURS = {"0": (200, 30, 30), "1": (30, 30, 200)}


def truth(scene):
    return [{each.person: each for each in seen} for _, _, seen in frames(scene, lambda name: actor(COLOURS[name]))]


def test_the_box_is_where_the_face_is_painted():
    _, picture, seen = next(frames(made(still(320, 75)), lambda name: actor(COLOURS[name])))
    red = np.abs(picture.astype(int) - COLOURS["0"]).max(axis=2) < 40
    rows, columns = np.nonzero(red[: int(seen[0].box_xywh[1] + seen[0].box_xywh[3])])

    assert seen[0].box_xywh == pytest.approx([columns.min(), rows.min(), np.ptp(columns) + 1, 75], abs=2)
    assert seen[0].visible == pytest.approx(1.0, abs=0.03)


def test_a_nearer_person_hides_a_farther_one():
    seen = truth(made(still(300, 60), still(330, 90)))[0]

    assert seen[1].visible > 0.95
    assert seen[0].visible < 0.4


def test_who_is_half_outside_is_half_visible():
    assert truth(made(still(0, 80)))[0][0].visible == pytest.approx(0.5, abs=0.05)


def test_a_pillar_hides_everybody():
    seen = truth(made(still(0.45 * 640 + 20, 50), pillar=True))[0]

    assert seen == {} or seen[0].visible < 0.3


def test_frames_are_those_that_the_sampler_takes():
    scene = replace(made(still(300, 60)), sample_hz=4.0, seconds=1.0)

    assert scene.times_s == pytest.approx([0.0, 0.3, 0.5, 0.8])


def test_a_person_before_a_plain_wall_is_cut_out():
    """A dark head on shoulders before a light wall with a soft gradient: the corners go, the body stays."""
    wall = np.linspace(190, 220, 400)[None, :, None].repeat(400, axis=0).repeat(3, axis=2)
    wall[60:260, 130:270] = (150, 100, 80)
    wall[250:, 60:340] = (40, 60, 120)
    face = np.array([140, 100, 120, 150], np.float32)

    pose = cut_out(wall.astype(np.uint8), face)

    alpha = pose.rgba[..., 3]
    assert alpha[:50].max() == 0
    assert alpha[120:240, 150:250].min() == 255
    assert alpha[350, 200] == 255
    assert pose.clothes[330:, 100:300].mean() > 0.9
    assert not pose.clothes[120:240, 150:250].any()
