"""The GPU through NVIDIA's cuda-bindings: memory, streams, graphs. No torch, so that a worker needs none."""

import ctypes
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.errors import EngineFailed, OutOfDeviceMemory

SPIN_S = 200e-6  # answers come within this time at small batches; sleeping costs more
NAP_S = 50e-6


class Gpu(Protocol):
    """What an engine needs of a GPU. Addresses and handles are integers or opaque."""

    @property
    def name(self) -> str:
        """As the driver calls it."""
        ...

    @property
    def compute_capability(self) -> str:
        """For instance «9.0»."""
        ...

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of device memory, aligned to 256.

        Raises:
            OutOfDeviceMemory: there is no room.
        """
        ...

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """(size,) bytes of host memory that the GPU reads and writes directly."""
        ...

    def release(self, addresses: list[int], pinned: list[NDArray[np.uint8]]) -> None:
        """Give memory back."""
        ...

    def stream(self) -> int:
        """Handle of a new stream."""
        ...

    def upload(self, to: int, source: NDArray[np.uint8], size: int, stream: int) -> None:
        """Queue a copy to the device."""
        ...

    def download(self, to: NDArray[np.uint8], source: int, size: int, stream: int) -> None:
        """Queue a copy from the device."""
        ...

    def wait(self, stream: int, limit_s: float) -> None:
        """Return when the stream has drained; `EngineFailed` after `limit_s` or when the device reports an error."""
        ...

    def record(self, work: Callable[[], None], stream: int) -> Any:
        """A graph of what `work` queues on the stream."""
        ...

    def replay(self, graph: Any, stream: int) -> None:
        """Queue a recorded graph."""
        ...


@dataclass(frozen=True, slots=True)
class CudaGpu:
    """Device 0, as the container shows it."""

    runtime: ModuleType  # cuda.bindings.runtime
    name: str
    compute_capability: str

    def allocate(self, size: int) -> int:
        """Address of `size` bytes, aligned to 256."""
        return int(self._call("cudaMalloc", max(size, 1)))

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """Page-locked host memory."""
        address = int(self._call("cudaHostAlloc", max(size, 1), self.runtime.cudaHostAllocDefault))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def release(self, addresses: list[int], pinned: list[NDArray[np.uint8]]) -> None:
        """Give memory back."""
        for address in addresses:
            self._call("cudaFree", address)
        for memory in pinned:
            self._call("cudaFreeHost", memory.ctypes.data)

    def stream(self) -> int:
        """A stream that does not wait for the default one."""
        return int(self._call("cudaStreamCreateWithFlags", self.runtime.cudaStreamNonBlocking))

    def upload(self, to: int, source: NDArray[np.uint8], size: int, stream: int) -> None:
        """Queue a copy to the device."""
        kind = self.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", to, source.ctypes.data, size, kind, stream)

    def download(self, to: NDArray[np.uint8], source: int, size: int, stream: int) -> None:
        """Queue a copy from the device."""
        kind = self.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", to.ctypes.data, source, size, kind, stream)

    def wait(self, stream: int, limit_s: float) -> None:
        """Return when the stream has drained.

        Raises:
            EngineFailed: the device reports an error (which sticks to the process), or nothing came for `limit_s`.
        """
        begun = time.monotonic()
        while True:
            (status,) = self.runtime.cudaStreamQuery(stream)
            if status == self.runtime.cudaError_t.cudaSuccess:
                return
            if status != self.runtime.cudaError_t.cudaErrorNotReady:
                raise EngineFailed(f"{self.name}: {self._words(status)} while a batch ran")
            waited_s = time.monotonic() - begun
            if waited_s > limit_s:
                raise EngineFailed(f"{self.name}: a batch did not end within {limit_s:g} s")
            if waited_s > SPIN_S:
                time.sleep(NAP_S)

    def record(self, work: Callable[[], None], stream: int) -> Any:
        """An executable graph of what `work` queues."""
        self._call(
            "cudaStreamBeginCapture", stream, self.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        )
        try:
            work()
        finally:
            graph = self._call("cudaStreamEndCapture", stream)
        executable = self._call("cudaGraphInstantiate", graph, 0)
        self._call("cudaGraphDestroy", graph)
        return executable

    def replay(self, graph: Any, stream: int) -> None:
        """Queue a recorded graph."""
        self._call("cudaGraphLaunch", graph, stream)

    def _call(self, function: str, *arguments: Any) -> Any:
        status, *results = getattr(self.runtime, function)(*arguments)
        if status == self.runtime.cudaError_t.cudaErrorMemoryAllocation:
            self.runtime.cudaGetLastError()  # this error does not stick: half a batch may fit
            raise OutOfDeviceMemory(f"{self.name}: {function} answered «{self._words(status)}»")
        if status != self.runtime.cudaError_t.cudaSuccess:
            raise EngineFailed(f"{self.name}: {function} answered «{self._words(status)}»")
        return results[0] if results else None

    def _words(self, status: Any) -> str:
        return str(self.runtime.cudaGetErrorString(status)[1].decode())


def find_gpu() -> CudaGpu | None:
    """The first NVIDIA GPU; None where cuda-bindings, the driver or the GPU is missing."""
    try:
        runtime = importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        return None
    good = runtime.cudaError_t.cudaSuccess
    status, count = runtime.cudaGetDeviceCount()
    if status != good or count == 0:
        return None
    status, properties = runtime.cudaGetDeviceProperties(0)
    if status != good:
        return None
    return CudaGpu(runtime, properties.name.split(b"\0")[0].decode(), f"{properties.major}.{properties.minor}")
