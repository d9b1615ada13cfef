from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from contract.errors import BadOutput, WeightsDoNotFit
from train.learn.tensors import read_tensors, write_tensors

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "nothing": torch.empty(0, 4),
    "turned": torch.arange(6.0).reshape(2, 3).t(),
}


def test_what_is_written_the_library_reads(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.safetensors", TENSORS, {"epoch": 3})
    seen = load_file(tmp_path / "t.safetensors")
    assert seen.keys() == TENSORS.keys()
    assert all(torch.equal(seen[name], tensor) for name, tensor in TENSORS.items())
    with safe_open(tmp_path / "t.safetensors", "pt") as file:
        assert file.metadata() == {"mien": '{"epoch": 3}'}


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, tmp_path / "t.safetensors")
    seen, note = read_tensors(tmp_path / "t.safetensors")
    assert note == {}
    assert all(torch.equal(seen[name], tensor) and seen[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


@pytest.mark.parametrize("keep", [0, 4, 8, 60, -1])
def test_a_torn_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsDoNotFit, match="no readable safetensors"):
        read_tensors(path)


def test_a_missing_file_and_a_full_disk_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsDoNotFit, match="cannot be read"):
        read_tensors(tmp_path / "none.safetensors")
    (tmp_path / "no").touch()
    with pytest.raises(BadOutput, match="cannot be written"):
        write_tensors(tmp_path / "no" / "t.safetensors", TENSORS, {})
