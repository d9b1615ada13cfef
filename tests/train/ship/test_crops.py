"""Real crops for calibration."""

import cv2
import numpy as np
import pytest

from contract.errors import BadSource
from train.ship.crops import read_crops


def test_an_npz_of_crops_is_read_as_it_is(tmp_path):
    crops = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", crops=crops)

    assert read_crops(tmp_path / "a.npz", 16, 100).tobytes() == crops.tobytes()


def test_the_same_draw_each_time(tmp_path):
    crops = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", crops=crops)

    first, second = (read_crops(tmp_path, 8, 10) for _ in range(2))

    assert first.shape == (10, 8, 8, 3)
    np.testing.assert_array_equal(first, second)


def test_crops_of_another_size_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", crops=np.zeros((2, 8, 8, 3), np.uint8))

    with pytest.raises(BadSource, match=r"crops are \(2, 8, 8, 3\) uint8, wanted \(N, 16, 16, 3\)"):
        read_crops(tmp_path / "a.npz", 16, 10)


def test_ferplus_is_cut_by_the_geometry_of_live_crops(shared_data):
    crops = read_crops(shared_data / "ferplus" / "validation.npz", 64, 12)

    assert (crops.shape, crops.dtype) == ((12, 64, 64, 3), np.uint8)
    assert (crops[..., 0] == crops[..., 2]).all()  # grey pictures
    assert crops.std() > 20


def test_faces_are_found_in_pictures(shared_data, tmp_path):
    source = next((shared_data / "faces" / "london").glob("*.*"))
    cv2.imwrite(str(tmp_path / "one.png"), cv2.imread(str(source)))

    assert read_crops(tmp_path, 112, 4).shape[1:] == (112, 112, 3)


@pytest.mark.parametrize("content", [{}, {"note.txt": b"hello"}])
def test_a_folder_without_crops_is_refused(tmp_path, content):
    for name, body in content.items():
        (tmp_path / name).write_bytes(body)

    with pytest.raises(BadSource, match="no crops, no FER"):
        read_crops(tmp_path, 112, 4)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BadSource, match="nowhere: there is no such file or folder"):
        read_crops(tmp_path / "nowhere", 112, 4)
