"""The errand to a GPU machine, done on the CPU with nothing but torch and numpy."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from contract.errors import WeightsDoNotFit
from train.learn.checkpoint import read_weights
from train.made import parts

BARE = """
import runpy, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name.partition(".")[0] in {names!r}
        return None if absent else self.finder.find_spec(name, path, target)
sys.meta_path = [Without(finder) if "Path" in repr(finder) else finder for finder in sys.meta_path]
try:
    import cv2
    raise SystemExit("this machine is not bare")
except ModuleNotFoundError:
    pass
sys.argv = ["train.made.gpu_run", *sys.argv[1:]]
runpy.run_module("train.made.gpu_run", run_name="__main__")
"""
ABSENT = [
    "cv2",
    "onnxruntime",
    "onnx",
    "msgspec",
    "orjson",
    "rich",
    "typer",
    "safetensors",
    "tensorboard",
    "matplotlib",
]


def test_train_measure_and_pack_on_a_bare_machine(
    patterns: Path, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    one, other = (write_recipe(optimiser="adamw", rate="0.003", mixup="0.0", epochs=epochs) for epochs in ("8", "1"))
    other.write_text(other.read_text().replace('"mini"', '"short"'))
    command = [sys.executable, "-c", BARE.format(names=ABSENT), str(one), str(other), "--data", str(patterns)]
    command += ["--out", str(tmp_path / "out"), "--device", "cpu", "--minutes", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [each["recipe"] for each in summary["runs"]] == ["mini", "short"]
    assert summary["nets"][0]["protocols"]["class"]["accuracy"] > 0.9  # of the weights that travel
    assert summary["ensemble"]["faces"] == 24
    parts.join(tmp_path / "out" / "mini", tmp_path / "home.safetensors")
    net, note = read_weights(tmp_path / "home.safetensors")
    assert note.name == "mini"
    assert all(tensor.dtype != torch.float16 for tensor in net.state_dict().values())
    assert not list((tmp_path / "out").rglob("checkpoint*"))


def test_parts_are_small_and_whole_again(tmp_path: Path) -> None:
    body = bytes(range(256)) * 10
    (tmp_path / "w.safetensors").write_bytes(body)
    cut = parts.cut(tmp_path / "w.safetensors", tmp_path / "parts", part_bytes=1000)
    assert [path.stat().st_size for path in cut] == [1000, 1000, 560]
    parts.join(tmp_path / "parts", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == body
    cut[1].write_bytes(b"x" * 1000)
    with pytest.raises(WeightsDoNotFit, match="do not make what was cut"):
        parts.join(tmp_path / "parts", tmp_path / "again")
    cut[1].unlink()
    with pytest.raises(WeightsDoNotFit, match="no whole set of parts"):
        parts.join(tmp_path / "parts", tmp_path / "again")
