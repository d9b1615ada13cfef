"""A small head made of numbers: a bulging sheet with sixty-eight landmarks and a few shapes."""

import numpy as np
import pytest

from train.data.synthetic.mesh import CORNERS, LOWER_LIP, UPPER_LIP, Mesh

SIDE = 41
PLACES = {
    **{
        36 + k: (-3.2 + 0.9 * np.cos(a), 3.2 + 0.4 * np.sin(a)) for k, a in enumerate(np.linspace(np.pi, -np.pi, 7)[:6])
    },
    **{42 + k: (3.2 + 0.9 * np.cos(a), 3.2 + 0.4 * np.sin(a)) for k, a in enumerate(np.linspace(np.pi, -np.pi, 7)[:6])},
    30: (0.0, 0.4),
    CORNERS[0]: (-2.5, -3.5),
    CORNERS[1]: (2.5, -3.5),
    UPPER_LIP: (0.0, -3.0),
    LOWER_LIP: (0.0, -4.0),
    8: (0.0, -7.5),
}


@pytest.fixture(scope="session")
def small_mesh() -> Mesh:
    """A sheet of 41 × 41 vertices that bulges towards the camera; it is anybody by two identities and smiles."""
    x, y = np.meshgrid(np.linspace(-8, 8, SIDE), np.linspace(-9, 9, SIDE))
    z = 12 - 0.08 * (x**2 + 0.6 * y**2) + 2.5 * np.exp(-(x**2 + (y - 0.4) ** 2))  # and a nose
    neutral = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    at = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    quads = np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]], axis=-1).reshape(-1, 4)
    skin = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    nothing = np.zeros((1, 3), np.int32)  # a triangle without a surface
    places = np.array([PLACES.get(k, (0.4 * (k - 34), 6.0 - 0.02 * k)) for k in range(68)])
    nearest = ((neutral[None, :, :2] - places[:, None]) ** 2).sum(2).argmin(1)
    return Mesh(
        neutral,
        np.stack([_pushed(neutral, 1, 0.05 * neutral[:, 1]), _pushed(neutral, 0, 0.05 * neutral[:, 0])]),
        np.stack([_corner(neutral, -2.5), _corner(neutral, 2.5), _jaw(neutral)]),
        {"mouthSmile_R": 0, "mouthSmile_L": 1, "jawOpen": 2},
        {"skin": skin, "mouth": nothing, "gums": nothing, "teeth": nothing, "eyes": nothing},
        nearest,
    )


def _pushed(neutral: np.ndarray, axis: int, by: np.ndarray) -> np.ndarray:
    moved = np.zeros_like(neutral)
    moved[:, axis] = by
    return moved


def _corner(neutral: np.ndarray, x: float) -> np.ndarray:
    near = np.exp(-((neutral[:, 0] - x) ** 2 + (neutral[:, 1] + 3.5) ** 2))
    return _pushed(neutral, 1, 0.8 * near)


def _jaw(neutral: np.ndarray) -> np.ndarray:
    return _pushed(neutral, 1, np.where(neutral[:, 1] < -3.5, -2.0, 0.0))
