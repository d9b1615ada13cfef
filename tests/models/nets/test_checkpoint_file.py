"""Files of weights: what is opened, what is refused, and that nothing in them runs."""

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contract.errors import WeightsDoNotFit
from models.nets.checkpoint_file import read_tensors

TENSORS = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([1.0, 2.0])}


class RunsOnLoading:
    """Makes a folder when unpickled by a careless reader."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def as_wrapped(tensors):
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "content",
    [
        TENSORS,  # FcaNet's release
        as_wrapped(TENSORS),  # DataParallel, saved bare
        {"state_dict": TENSORS, "epoch": 3, "best_prec1": 78.5, "optimizer": {"state": {}, "param_groups": [{}]}},
        {"model_state_dict": as_wrapped(TENSORS), "epoch": 60},  # DACL's main.py
    ],
)
@pytest.mark.parametrize("zipped", [True, False])  # False: the form before PyTorch 1.6, as released in 2020
def test_checkpoints_of_all_public_forms_give_plain_names(tmp_path, content, zipped):
    path = tmp_path / "model.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)

    seen = read_tensors(path)

    assert list(seen) == list(TENSORS)
    assert all(torch.equal(seen[name], TENSORS[name]) for name in TENSORS)


def test_safetensors_and_plain_arrays_are_read(tmp_path):
    save_file(as_wrapped(TENSORS), tmp_path / "a.safetensors")
    np.savez(tmp_path / "b.npz", **{name: tensor.numpy() for name, tensor in TENSORS.items()})

    for name in ("a.safetensors", "b.npz"):
        seen = read_tensors(tmp_path / name)
        assert sorted(seen) == sorted(TENSORS)
        assert all(torch.equal(seen[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle 2", "pickle 5", "inside state_dict"])
def test_a_pickle_that_brings_code_is_refused_and_nothing_runs(tmp_path, form):
    trap, path = RunsOnLoading(tmp_path / "ran"), tmp_path / "model.pth"
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps({"fc.weight": trap}, protocol=int(form[-1])))
    elif form == "inside state_dict":
        torch.save({"state_dict": {**TENSORS, "extra": trap}}, path)
    else:
        torch.save({"fc.weight": trap}, path, _use_new_zipfile_serialization=form == "torch")

    with pytest.raises(WeightsDoNotFit, match=r"model\.pth: holds more than tensors and is not opened") as refusal:
        read_tensors(path)

    assert "mkdir" in str(refusal.value) or form == "pickle 5"  # torch stops before it reads the name
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "ran").exists()


def test_the_trap_of_these_tests_would_really_run(tmp_path):
    pickle.loads(pickle.dumps(RunsOnLoading(tmp_path / "ran")))  # noqa: S301 - the point of the test

    assert (tmp_path / "ran").is_dir()


def test_arrays_that_are_pickles_are_refused_and_nothing_runs(tmp_path):
    np.savez(tmp_path / "a.npz", weight=np.array([RunsOnLoading(tmp_path / "ran")], dtype=object))

    with pytest.raises(WeightsDoNotFit, match="no readable npz of plain arrays"):
        read_tensors(tmp_path / "a.npz")

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", ["pdparams", "pdiparams"])
def test_a_paddle_file_is_refused_unopened_with_the_way_to_convert_it(tmp_path, suffix):
    path = tmp_path / f"RAFa_2_6131_ep33_90p91_param.{suffix}"
    path.write_bytes(pickle.dumps(RunsOnLoading(tmp_path / "ran")))

    with pytest.raises(WeightsDoNotFit, match=rf"not opened.*numpy\.savez\('weights\.npz'.*90p91_param\.{suffix}"):
        read_tensors(path)

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"not a file of weights", b"PK\x03\x04 cut", b"\x80\x02}q\x00(X\x05"])
def test_damaged_files_are_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(WeightsDoNotFit, match=name):
        read_tensors(tmp_path / name)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    torch.save(TENSORS, tmp_path / "whole.pth")
    body = (tmp_path / "whole.pth").read_bytes()

    for share in (0.2, 0.5, 0.9):
        (tmp_path / "cut.pth").write_bytes(body[: int(share * len(body))])
        with pytest.raises(WeightsDoNotFit, match=r"cut\.pth"):
            read_tensors(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [([1, 2], "a list, not a mapping"), ({"fc.weight": 3}, "'fc.weight' is a int"), (torch.zeros(2), "a Tensor, not")],
)
def test_a_checkpoint_of_something_else_says_what_it_holds(tmp_path, content, words):
    torch.save(content, tmp_path / "a.pth")

    with pytest.raises(WeightsDoNotFit, match=words):
        read_tensors(tmp_path / "a.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsDoNotFit, match=r"gone\.pth: there is no such file"):
        read_tensors(tmp_path / "gone.pth")
