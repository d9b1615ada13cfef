"""Each net on the device: pictures per second by batch size, share of the card's bound, difference from fp32."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.card.bound import Rates, images_per_s, layers_of
from bench.card.device import Device
from models.nets import build, options

MEASURED: dict[str, dict[str, Any]] = {
    "dacl": {"edge": 224},
    "transfer": {"edge": 112, "head": "random"},
    "fcanet34": {"edge": 224},
    "drml": {"edge": 170},
}
"""The four nets of the papers at their published edges; random weights, as speed does not depend on them."""

COMPARED = 16  # crops whose logits are compared with fp32

Logits = NDArray[np.float32]
Run = Callable[[int], object]
"""Reads a batch of so many crops that lie on the device; the answer may still be on its way."""


@dataclass(frozen=True, slots=True)
class Row:
    """One net, run in one way, at one batch size."""

    net: str
    edge: int  # px
    how: str
    batch: int
    images_per_s: float
    ms: float  # per batch
    bound_per_s: float  # of this card for this net and batch
    share: float  # of the bound
    largest_difference: float  # of a logit from fp32
    agreement: float  # share of equal decisions with fp32


class Served(nn.Module):
    """The net that an engine holds: (N, E, E, 3) u8 in, logits out, normalised in the net's own type."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net.to(dtype=dtype, memory_format=torch.channels_last), dtype  # type: ignore[call-overload]

    def forward(self, crops: Tensor) -> Tensor:
        """Return logits (N, labels)."""
        logits: Tensor = self.net((crops.permute(0, 3, 1, 2).to(self.dtype) - 127.5) / 64)
        return logits


def rows(name: str, device: Device, rates: Rates, batches: tuple[int, ...], budget_s: float) -> Iterator[Row]:
    """Yield a row per way of running the net and batch size.

    Args:
        name: of `MEASURED`.
        device: where it runs.
        rates: of the device, for the bound.
        batches: crops per call.
        budget_s: seconds per row.
    """
    variant = MEASURED[name]
    edge = {**options(name), **variant}["edge"]
    torch.manual_seed(0)
    net: nn.Module = build(name, **variant).eval().inference()  # type: ignore[operator]
    with torch.device("meta"):
        layers = layers_of(build(name, **variant).eval().inference(), edge)  # type: ignore[operator]
    some = np.random.default_rng(0).integers(0, 256, (COMPARED, edge, edge, 3), np.uint8)
    wanted = exact(net, some)
    for how, run, answer in ways(name, net, edge, device, max(batches)):
        seen = answer(some)
        difference = float(np.abs(seen - wanted).max())
        agreement = float((seen.argmax(1) == wanted.argmax(1)).mean())
        for batch in batches:
            seconds = device.seconds_per_call(lambda run=run, batch=batch: run(batch), budget_s)  # type: ignore[misc]
            bound = images_per_s(layers, rates, batch)
            speed = batch / seconds
            yield Row(name, edge, how, batch, speed, 1e3 * seconds, bound, speed / bound, difference, agreement)


@torch.inference_mode()
def exact(net: nn.Module, crops: NDArray[np.uint8]) -> Logits:
    """Return the logits (N, labels) in fp32 on the CPU."""
    return Served(copy.deepcopy(net), torch.float32)(torch.from_numpy(crops)).numpy()  # type: ignore[no-any-return]


def ways(
    name: str, net: nn.Module, edge: int, device: Device, most: int
) -> Iterator[tuple[str, Run, Callable[[NDArray[np.uint8]], Logits]]]:
    """Yield each way to run the net here: its name, a timed call and one that answers.

    torch as it is; compiled, on a card; and as the worker runs it (TensorRT or ONNX Runtime), where that is installed.
    """
    served = Served(copy.deepcopy(net), device.dtype).to(device.kind).eval()
    crops = torch.randint(0, 256, (most, edge, edge, 3), dtype=torch.uint8, device=device.kind)
    forms = [("torch", served)]
    if device.kind == "cuda":
        forms.append(("torch compiled", torch.compile(served, mode="reduce-overhead")))  # type: ignore[arg-type]
    for how, form in forms:
        yield how, _timed(form, crops), _answering(form, device)
    with tempfile.TemporaryDirectory() as folder:
        engine = engine_of(name, Path(folder), edge, device, most)
        if engine is not None:
            host = crops.cpu().numpy()
            yield engine[0], lambda batch: engine[1](host[:batch]), lambda some: engine[1](some)["logits"]


def _timed(form: nn.Module, crops: Tensor) -> Run:
    @torch.inference_mode()
    def run(batch: int) -> Tensor:
        logits: Tensor = form(crops[:batch])
        return logits

    return run


def _answering(form: nn.Module, device: Device) -> Callable[[NDArray[np.uint8]], Logits]:
    @torch.inference_mode()
    def answer(some: NDArray[np.uint8]) -> Logits:
        logits: Logits = form(torch.from_numpy(some).to(device.kind)).float().cpu().numpy()
        return logits

    return answer


def engine_of(name: str, folder: Path, edge: int, device: Device, most: int) -> tuple[str, Any] | None:
    """Return how a worker runs the net and the engine; None on a machine with torch and numpy alone."""
    try:
        from contract.manifest import Batches
        from models.engines.choose import choose
        from models.engines.cuda import find_gpu
        from models.engines.library import library_for
        from models.engines.tensorrt import open_tensorrt
        from train.ship.build import export_net, in_precision
    except ImportError:
        return None
    card = export_net(name, folder, edge=edge, command="python -m bench gpu", program_too=False)
    if device.kind == "cpu":
        return "ONNX Runtime", choose(card, folder, "onnx", torch.get_num_threads())
    from contract.errors import EngineUnavailable

    gpu = find_gpu()
    try:
        library = library_for(gpu)
    except EngineUnavailable:
        return None
    half = in_precision(card, folder, "fp16", folder, None)
    assert gpu is not None  # torch sees one
    return "TensorRT fp16", open_tensorrt(half, folder, folder / "plans", library, gpu, Batches(1, most, most))
