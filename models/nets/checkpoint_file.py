"""The tensors in a file of weights, read without running anything that the file brings along."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from contract.errors import WeightsDoNotFit

PADDLE = (".pdparams", ".pdiparams", ".pdopt")
CONTAINERS = ("model_state_dict", "state_dict")  # DACL's; FcaNet's, YIUYA's DRML's and MS-Celeb-1M's


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a PyTorch checkpoint (`weights_only`), a safetensors or an npz file, on the CPU.

    A checkpoint's `model_state_dict` or `state_dict` is taken out, and DataParallel's `module.` is taken off names.

    Raises:
        WeightsDoNotFit: the file is missing, damaged, holds more than tensors, or is of a kind that is not opened.
    """
    suffix = path.suffix.lower()
    if suffix in PADDLE:
        raise WeightsDoNotFit(f"{path}: {_paddle_advice(path)}")
    if not path.is_file():
        raise WeightsDoNotFit(f"{path}: there is no such file of weights")
    if suffix == ".safetensors":
        tensors = _safetensors(path)
    elif suffix == ".npz":
        tensors = _arrays(path)
    else:
        tensors = _checkpoint(path)
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _paddle_advice(path: Path) -> str:
    return (
        "a Paddle file is a pickle, which can run code, so it is not opened; where Paddle is installed and the file is "
        "trusted, turn it into arrays: python -c \"import numpy, paddle; numpy.savez('weights.npz', **{name: "
        f"numpy.asarray(value) for name, value in paddle.load('{path.name}').items()}})\" and load weights.npz"
    )


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsDoNotFit(f"{path}: no readable safetensors file ({error})") from error


def _arrays(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsDoNotFit(f"{path}: no readable npz of plain arrays ({error})") from error


def _checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsDoNotFit(f"{path}: holds more than tensors and is not opened ({_refused(error)})") from error
    except Exception as error:  # damaged bytes make the reader raise almost anything; all of it means the same
        raise WeightsDoNotFit(f"{path}: no readable PyTorch checkpoint ({type(error).__name__})") from error
    for container in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
    if not isinstance(content, Mapping):
        raise WeightsDoNotFit(f"{path}: a {type(content).__name__}, not a mapping of names to tensors")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise WeightsDoNotFit(f"{path}: entry {name!r} is a {type(value).__name__}, not a tensor")
    return dict(content)


def _refused(error: pickle.UnpicklingError) -> str:
    """The line of torch's long message that names what was refused."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "GLOBAL" in line or "nsupported" in line), lines[0] if lines else "pickle")
