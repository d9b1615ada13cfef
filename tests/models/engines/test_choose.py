"""Card and machine decide the engine."""

import subprocess
import sys

import pytest

from contract.errors import BadRequest, EngineUnavailable
from models.engines import choose as choosing
from models.engines.choose import choose, program_card
from models.engines.onnx import OnnxEngine
from models.engines.tensorrt import TensorRTEngine
from models.engines.torch import TorchEngine


def test_a_machine_without_a_gpu_takes_onnx_runtime(exported, monkeypatch):
    monkeypatch.setattr(choosing, "find_gpu", lambda: None)
    monkeypatch.setattr(choosing, "_OTHER_GPUS", ())

    assert isinstance(choose(*exported), OnnxEngine)


def test_a_gpu_with_tensorrt_takes_tensorrt(exported, gpu, library, tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "find_gpu", lambda: gpu)
    monkeypatch.setattr(choosing, "library_for", lambda _: library)

    assert isinstance(choose(*exported, plans=tmp_path), TensorRTEngine)


def test_a_gpu_without_tensorrt_takes_the_torch_program(exported, gpu, tmp_path, monkeypatch):
    def no_library(_):
        raise EngineUnavailable("no TensorRT")

    monkeypatch.setattr(choosing, "find_gpu", lambda: gpu)
    monkeypatch.setattr(choosing, "library_for", no_library)
    monkeypatch.setattr(choosing, "_OTHER_GPUS", (tmp_path,))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    opened = []
    monkeypatch.setattr(
        "models.engines.torch.TorchEngine", lambda card, folder, device: opened.append(device) or "torch"
    )

    assert choose(*exported) == "torch"
    assert opened == ["cuda"]


def test_a_gpu_without_anything_to_run_on_it_takes_onnx_runtime(exported, tmp_path, monkeypatch):
    card, folder = exported
    (tmp_path / card.file).write_bytes((folder / card.file).read_bytes())  # no program beside it
    monkeypatch.setattr(choosing, "find_gpu", lambda: None)
    monkeypatch.setattr(choosing, "_OTHER_GPUS", (tmp_path,))

    assert isinstance(choose(card, tmp_path), OnnxEngine)


def test_the_engine_asked_for_is_taken(exported, monkeypatch):
    monkeypatch.setattr(choosing, "find_gpu", lambda: pytest.fail("not asked"))

    assert isinstance(choose(*exported, engine="onnx"), OnnxEngine)
    assert isinstance(choose(*exported, engine="torch"), TorchEngine)


def test_tensorrt_without_a_gpu_says_what_is_missing(exported, monkeypatch):
    monkeypatch.setattr(choosing, "find_gpu", lambda: None)

    with pytest.raises(EngineUnavailable, match="no NVIDIA GPU was found"):
        choose(*exported, engine="tensorrt")


def test_torch_without_a_program_says_how_to_make_one(exported, tmp_path):
    card, _ = exported

    with pytest.raises(EngineUnavailable, match="small has no exported program; `mien engine export`"):
        choose(card, tmp_path, engine="torch")


def test_an_unknown_engine_is_refused_with_those_that_exist(exported):
    with pytest.raises(BadRequest, match="no engine 'openvino'; there is auto, onnx, torch, tensorrt"):
        choose(*exported, engine="openvino")


def test_choosing_on_a_cpu_imports_no_torch(exported):
    card, folder = exported
    code = (
        "import sys; from pathlib import Path; from contract.model_card import read_card; "
        "from models.engines.choose import choose; folder = Path(sys.argv[1]); "
        "choose(read_card(folder / 'small.json'), folder); "
        "sys.exit(','.join({'torch', 'tensorrt_rtx', 'onnx'} & set(sys.modules)) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert program_card(card, folder).exists()  # though there is a program
