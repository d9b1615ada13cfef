"""Files that are there whole or not at all."""

import pytest

from contract.errors import BadOutput
from runtime.files import write_whole


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.plan"
    write_whole(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadOutput, match=r"a\.plan: cannot be written .No space left on device."):
        write_whole(path, b"new")

    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.plan"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(BadOutput, match="cannot be written"):
        write_whole(tmp_path / "file" / "a.plan", b"x")
