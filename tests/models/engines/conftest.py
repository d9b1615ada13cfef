"""A small net of the kinds of layers that the four nets have, and a stand-in for TensorRT on a machine without a GPU.

The stand-in is not TensorRT: a «plan» is the ONNX file itself, run by ONNX Runtime at the addresses that the engine
gave. It checks what is asked of the real one in which order, and that test_bindings.py finds its attributes there.
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from contract.model_card import ModelCard
from models.engines.library import FullLibrary
from train.ship.export import Normalisation, ServingGraph, export

EDGE, LABELS = 24, ("neutral", "happiness", "surprise", "sadness", "anger")


class SmallNet(nn.Module):
    """Strided and grouped convolutions with zero padding, LRN, PReLU, attention, GELU, layer norm, adaptive pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.PReLU(16), nn.MaxPool2d(2))
        self.region = nn.Conv2d(16, 16, 3, 1, 1, groups=4)
        self.norm = nn.LocalResponseNorm(5, 1e-2, 0.75, 1.0)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.after = nn.LayerNorm(16)
        self.head = nn.Linear(16 * 4, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.norm(torch.relu(self.region(x)) + x)  # (B, 16, 6, 6)
        tokens = x.flatten(2).transpose(1, 2)  # (B, 36, 16)
        q, k, v = self.qkv(tokens).chunk(3, -1)
        weights = torch.softmax(q @ k.transpose(1, 2) / 4, -1)
        tokens = self.after(tokens + nn.functional.gelu(self.out(weights @ v)))
        maps = tokens.transpose(1, 2).reshape(-1, 16, 6, 6)
        return self.head(nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1))


@pytest.fixture(scope="session")
def small_graph() -> ServingGraph:
    torch.manual_seed(3)
    return ServingGraph(SmallNet().eval(), Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.25), grey=False)).eval()


@pytest.fixture(scope="session")
def crops() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (11, EDGE, EDGE, 3), dtype=np.uint8)


def card_named(name: str) -> ModelCard:
    return ModelCard(
        name,
        "1",
        "small",
        f"{name}.onnx",
        "",
        "expressions",
        LABELS,
        EDGE,
        "logits",
        "none",
        "Apache-2.0",
        "tests",
        "none",
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, small_graph: ServingGraph, crops: np.ndarray) -> Any:
    """The card of the small net and its folder with ONNX file, torch program and cards."""
    folder = tmp_path_factory.mktemp("small")
    return export(small_graph, card_named("small"), folder, [crops], "pytest"), folder


class HostGpu:
    """Device memory is host memory, streams run at once, graphs are lists of calls."""

    def __init__(self, name: str = "NVIDIA Test 1", compute_capability: str = "8.9") -> None:
        self.name, self.compute_capability = name, compute_capability
        self.memory: dict[int, np.ndarray] = {}
        self.replayed: list[int] = []
        self._recording: list[Callable[[], None]] | None = None

    def allocate(self, size: int) -> int:
        memory = np.full(max(size, 1) + 256, 0xAB, np.uint8)  # never zero: unwritten results show
        address = -(-memory.ctypes.data // 256) * 256
        self.memory[address] = memory
        return address

    def pinned(self, size: int) -> np.ndarray:
        return np.full(size, 0xCD, np.uint8)

    def release(self, addresses: list[int], pinned: list[np.ndarray]) -> None:
        for address in addresses:
            del self.memory[address]

    def stream(self) -> int:
        return 77

    def upload(self, to: int, source: np.ndarray, size: int, stream: int) -> None:
        assert to in self.memory
        assert size <= source.size
        self.queue(stream, lambda: ctypes.memmove(to, source.ctypes.data, size))

    def download(self, to: np.ndarray, source: int, size: int, stream: int) -> None:
        assert source in self.memory
        assert size <= to.size
        self.queue(stream, lambda: ctypes.memmove(to.ctypes.data, source, size))

    def wait(self, stream: int, limit_s: float) -> None:
        assert (stream, self._recording) == (77, None)

    def record(self, work: Callable[[], None], stream: int) -> list[Callable[[], None]]:
        self._recording = []
        work()
        graph, self._recording = self._recording, None
        return graph

    def replay(self, graph: list[Callable[[], None]], stream: int) -> None:
        self.replayed.append(len(graph))
        for call in graph:
            call()

    def queue(self, stream: int, call: Callable[[], Any]) -> None:
        assert stream == 77
        if self._recording is None:
            call()
        else:
            self._recording.append(call)


class FakeContext:
    """Runs the ONNX at the given addresses, once everything that the real one needs has been set."""

    def __init__(self, engine: "FakeEngine") -> None:
        self.engine = engine
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self._memory = 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0
        assert size == self.engine.device_memory_size_v2
        self._memory = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self.engine.get_tensor_profile_shape(name, 0)
        assert not self._shape, "a context keeps its shape: its graph depends on it"
        self._shape = tuple(shape)
        return least[0] <= shape[0] <= most[0] and tuple(shape[1:]) == (EDGE, EDGE, 3)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self.engine.names

    def infer_shapes(self) -> list[str]:
        return [] if self._shape else ["crops"]

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self._memory
        assert set(self._addresses) == set(self.engine.names)
        self.engine.gpu.queue(stream_handle, self._compute)
        return True

    def _compute(self) -> None:
        size = int(np.prod(self._shape))
        crops = np.frombuffer((ctypes.c_uint8 * size).from_address(self._addresses["crops"]), np.uint8)
        (logits,) = self.engine.session.run(None, {"crops": crops.reshape(self._shape)})
        ctypes.memmove(self._addresses["logits"], logits.ctypes.data, logits.nbytes)


class FakeEngine:
    names = ("crops", "logits")
    num_io_tensors = 2
    device_memory_size_v2 = 4096

    def __init__(self, body: bytes, trt: Any, gpu: HostGpu) -> None:
        self.session = onnxruntime.InferenceSession(body, providers=["CPUExecutionProvider"])
        self.gpu, self._trt = gpu, trt

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, EDGE, EDGE, 3) if name == "crops" else (-1, len(LABELS))

    def get_tensor_dtype(self, name: str) -> Any:
        return self._trt.DataType.UINT8 if name == "crops" else self._trt.DataType.FLOAT

    def get_tensor_mode(self, name: str) -> Any:
        return self._trt.TensorIOMode.INPUT if name == "crops" else self._trt.TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [(size, EDGE, EDGE, 3) for size in (1, 2, 4)]

    def create_execution_context(self, strategy: Any) -> FakeContext:
        assert strategy == self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        return FakeContext(self)


class FakeRuntime:
    """Counts what it is given to deserialise."""

    given: list[bytes] = []  # noqa: RUF012 - the spy of the tests

    def __init__(self, logger: Any, trt: Any, gpu: HostGpu) -> None:
        self.engine_host_code_allowed = True
        self._make = lambda body: FakeEngine(body, trt, gpu)

    def deserialize_cuda_engine(self, body: bytes) -> FakeEngine:
        assert self.engine_host_code_allowed is False
        FakeRuntime.given.append(body)
        return self._make(body)


def fake_library(gpu: HostGpu, version: str = "11.4.0.106") -> FullLibrary:
    """The full edition over the stand-in. Building gives back the ONNX; enums are those of the RTX edition."""
    rtx = pytest.importorskip("tensorrt_rtx", reason="the stand-in takes its enums from tensorrt-rtx")
    trt = SimpleNamespace(
        __version__=version,
        DataType=rtx.DataType,
        TensorIOMode=rtx.TensorIOMode,
        ExecutionContextAllocationStrategy=rtx.ExecutionContextAllocationStrategy,
    )
    trt.Runtime = lambda logger: FakeRuntime(logger, trt, gpu)
    return FullLibrary(trt, SimpleNamespace(errors=[]))


@pytest.fixture
def gpu() -> HostGpu:
    return HostGpu()


@pytest.fixture
def library(gpu: HostGpu, monkeypatch: pytest.MonkeyPatch) -> Iterator[FullLibrary]:
    """The stand-in, with a builder that gives back the ONNX file."""
    monkeypatch.setattr("models.engines.plans.build_plan", lambda library, body, recipe, timings, watch: (body, b"t"))
    FakeRuntime.given.clear()
    return fake_library(gpu)


@pytest.fixture
def fakes() -> Any:
    """The stand-in's classes, for tests that compare them with the real ones."""
    return sys.modules[__name__]


@pytest.fixture
def second_card(exported: Any) -> Any:
    """Another net with the same shapes: the head's labels turned round."""
    import onnx
    from onnx import numpy_helper

    card, folder = exported
    model = onnx.load(folder / card.file)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("head.weight"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[::-1].copy(), tensor.name))
    body = model.SerializeToString()
    (folder / "other.onnx").write_bytes(body)
    return msgspec.structs.replace(card, name="other", file="other.onnx", sha256=hashlib.sha256(body).hexdigest())
