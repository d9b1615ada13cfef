"""The mesh: read, moved, measured."""

from pathlib import Path

import numpy as np
import pytest

from contract.errors import BadSource, MienError, SourceNotFound
from train.data.synthetic.mesh import CORNERS, PARTS, Mesh, lip_gap, read_mesh
from train.data.synthetic.units import movement


def test_shapes_add_up_by_their_weights(small_mesh: Mesh) -> None:
    half = small_mesh.expression({"mouthSmile_L": 0.5, "mouthSmile_R": 0.5})

    both = 0.5 * (small_mesh.expressions[0] + small_mesh.expressions[1])
    assert np.allclose(half, both, atol=1e-6)  # float32 sums


def test_a_shape_that_does_not_exist_is_named(small_mesh: Mesh) -> None:
    with pytest.raises(BadSource, match="no shape 'earWiggle'; it has mouthSmile_R"):
        small_mesh.expression({"earWiggle": 1.0})


def test_normals_of_a_sheet_look_at_the_camera(small_mesh: Mesh) -> None:
    normals = small_mesh.normals(small_mesh.neutral)

    flat = small_mesh.normals(small_mesh.neutral * np.float32([1, 1, 0]))
    assert np.allclose(flat, [0, 0, 1], atol=1e-6)  # a plane has one normal
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)  # float32
    left = normals[small_mesh.neutral[:, 0] < -6]
    assert (left[:, 0] < -0.3).all()  # it bulges: the left side looks left


def test_lips_that_part_have_a_gap_in_widths_of_the_mouth(small_mesh: Mesh) -> None:
    opened = small_mesh.neutral + small_mesh.expression({"jawOpen": 1.0})

    grown = lip_gap(opened, small_mesh.landmarks) - lip_gap(small_mesh.neutral, small_mesh.landmarks)
    assert grown == pytest.approx(2.0 / 5.2, rel=0.1)  # two units down, 5.2 wide on the sheet's grid


@pytest.mark.parametrize("content", [b"", b"no npz"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mesh.npz").write_bytes(content)

    with pytest.raises(BadSource, match="no npz of ICT-FaceKit") as caught:
        read_mesh(tmp_path / "mesh.npz")
    assert "\n" not in str(caught.value)


def test_a_mesh_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mesh.npz"
    empty = np.zeros((1, 10, 3), np.float16)
    faces, names = np.zeros((1, 4), int), np.array(["a"])
    np.savez(
        path, neutral=np.zeros((10, 3)), faces=faces, expression_names=names, landmarks68=np.arange(68),
        expression_deltas=empty, identity_deltas=empty,
    )  # fmt: skip

    with pytest.raises(BadSource, match=r"10 vertices and .*wanted 24591"):
        read_mesh(path)
    with pytest.raises(SourceNotFound, match="no such file"):
        read_mesh(tmp_path / "nowhere.npz")
    assert issubclass(SourceNotFound, MienError)


def test_the_real_head_moves_as_its_units_say(shared_data: Path) -> None:
    mesh = read_mesh(shared_data / "ict_facekit_compact.npz", identities=1)

    def moved(unit: str) -> np.ndarray:
        return mesh.neutral + mesh.expression(movement({unit: 1.0}).shapes)

    at, rest = mesh.landmarks, mesh.neutral
    corners, brows, lids = list(CORNERS), [19, 24], [37, 38, 43, 44]
    assert (moved("AU12")[at[corners], 1] > rest[at[corners], 1] + 0.3).all()  # up, and apart
    assert np.ptp(moved("AU12")[at[corners], 0]) > np.ptp(rest[at[corners], 0]) + 0.3
    assert (moved("AU15")[at[corners], 1] < rest[at[corners], 1] - 0.2).all()
    assert (moved("AU2")[at[brows], 1] > rest[at[brows], 1] + 0.2).all()
    assert (moved("AU4")[at[brows], 1] < rest[at[brows], 1] - 0.1).all()
    assert (moved("AU5")[at[lids], 1] > rest[at[lids], 1] + 0.05).all()
    for unit in ("AU25", "AU26"):
        assert lip_gap(moved(unit), at) > lip_gap(rest, at) + 0.1, unit
    assert all(triangles.max() < PARTS[part][1] for part, triangles in mesh.triangles.items())
