import os
import stat
from pathlib import Path

import pytest

from contract.errors import BadOutput
from runtime.files import whole_file, write_whole


def test_a_file_takes_its_place_with_all_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"

    write_whole(path, b"one")
    write_whole(path, b"two")

    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.plan"
    write_whole(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadOutput, match=r"a\.plan: cannot be written .No space left on device."):
        write_whole(path, b"new")

    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.plan"]


def test_a_block_that_fails_leaves_the_old_file_and_its_own_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, b"old")

    def fails() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_nobody_sees_a_file_that_is_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "a"

    with whole_file(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"half"


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a"

    with whole_file(path) as one, whole_file(path) as two:
        one.write(b"1" * 10)
        two.write(b"2" * 10)

    assert path.read_bytes() in (b"1" * 10, b"2" * 10)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BadOutput, match="cannot be written"):
        write_whole(tmp_path / "file" / "a.plan", b"x")


def test_the_umask_of_the_user_holds(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"x")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
