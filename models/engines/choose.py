"""Card and machine → engine: the only place that decides."""

import importlib
import importlib.util
from pathlib import Path

from contract.errors import BadModel, BadRequest, EngineUnavailable
from contract.model_card import ModelCard, read_card
from models.engines import Engine
from models.engines.cuda import Gpu, find_gpu
from models.engines.library import library_for
from models.engines.onnx import OnnxEngine
from models.engines.plans import plans_folder
from models.engines.tensorrt import open_tensorrt

ENGINES = ("auto", "onnx", "torch", "tensorrt")
PROGRAM_CARD = ".torch.json"
_OTHER_GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"))  # NVIDIA without cuda-bindings; AMD


def choose(card: ModelCard, folder: Path, engine: str = "auto", threads: int = 1, plans: Path | None = None) -> Engine:
    """The engine that suits this machine, or the one asked for.

    TensorRT where a library and a GPU that it runs on are there; else the exported torch program on another GPU;
    else ONNX Runtime on the CPU.

    Args:
        card: describes an ONNX file in `folder`; the exported program has a card of its own beside it.
        folder: of the card.
        engine: one of `ENGINES`.
        threads: of the CPU engines.
        plans: folder of TensorRT plans; by default `plans_folder()`.

    Raises:
        BadRequest: no engine of this name.
        EngineUnavailable: the engine asked for cannot run here; the message says what is missing.
    """
    if engine not in ENGINES:
        raise BadRequest(f"no engine {engine!r}; there is {', '.join(ENGINES)}")
    gpu = find_gpu() if engine in ("auto", "tensorrt") else None
    if engine == "tensorrt" or (engine == "auto" and gpu is not None and _has_tensorrt(gpu)):
        if gpu is None:
            raise EngineUnavailable("no NVIDIA GPU was found (driver, container toolkit, `pip install 'mien[gpu]'`?)")
        return open_tensorrt(card, folder, plans or plans_folder(), library_for(gpu), gpu)
    if engine == "torch" or (engine == "auto" and _has_torch_gpu(card, folder)):
        return _torch_engine(card, folder)
    return OnnxEngine(card, folder, threads)


def program_card(card: ModelCard, folder: Path) -> Path:
    """Where the card of the exported program lies."""
    return folder / f"{Path(card.file).stem}{PROGRAM_CARD}"


def _has_tensorrt(gpu: Gpu) -> bool:
    try:
        library_for(gpu)
    except EngineUnavailable:
        return False
    return True


def _has_torch_gpu(card: ModelCard, folder: Path) -> bool:
    """Is there another GPU, a program to run on it, and torch? Asked in this order: importing torch takes a second."""
    there = any(path.exists() for path in _OTHER_GPUS) and program_card(card, folder).exists()
    if not there or importlib.util.find_spec("torch") is None:
        return False
    return bool(importlib.import_module("torch").cuda.is_available())


def _torch_engine(card: ModelCard, folder: Path) -> Engine:
    if importlib.util.find_spec("torch") is None:
        raise EngineUnavailable("torch is not installed: `pip install 'mien[train]'` or `make setup`")
    try:
        described = read_card(program_card(card, folder))
    except BadModel as error:
        raise EngineUnavailable(f"{card.name} has no exported program; `mien engine export` writes one") from error
    module = importlib.import_module("models.engines.torch")
    device = "cuda" if importlib.import_module("torch").cuda.is_available() else "cpu"
    made: Engine = module.TorchEngine(described, folder, device)
    return made
