"""A stand-in for a GPU that works later, as a real one does: queued work runs when somebody waits, in any legal order.

Copies read and write host memory at the time when they run, not when they were queued: a buffer that is filled again
too early shows in the answers. What streams queue is interleaved at random. Errors stick. Memory is bounded.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from contract.errors import EngineFailed, OutOfDeviceMemory
from tests.models.engines.conftest import HostGpu


class LazyGpu(HostGpu):
    """Streams are queues; `wait` runs work of all streams in random turns until the awaited stream is empty.

    Args:
        seed: of the turns.
        room: bytes of device memory.
        fails_at: the piece of work, counted from 0, that ends in an error of the device.
    """

    def __init__(self, seed: int = 0, room: float = float("inf"), fails_at: int = -1) -> None:
        super().__init__()
        self.queues: dict[int, deque[Callable[[], Any]]] = {}
        self.most_streams_at_work = 0  # with work queued at the same time
        self.room, self.fails_at, self.done = room, fails_at, 0
        self._random = np.random.default_rng(seed)
        self._sizes: dict[int, int] = {}
        self._broken = False

    def allocate(self, size: int) -> int:
        if sum(self._sizes.values()) + size > self.room:
            raise OutOfDeviceMemory("NVIDIA Test 1: cudaMalloc answered «out of memory»")
        address = super().allocate(size)
        self._sizes[address] = size
        return address

    def release(self, addresses: list[int], pinned: list[np.ndarray]) -> None:
        if self._broken:
            raise EngineFailed(f"{self.name}: cudaFree answered «an illegal memory access was encountered»")
        assert not any(self.queues.values()), "memory was given back while work was queued"
        super().release(addresses, pinned)
        for address in addresses:
            del self._sizes[address]

    def stream(self) -> int:
        self.queues[len(self.queues) + 1] = deque()
        return len(self.queues)

    def queue(self, stream: int, call: Callable[[], Any]) -> None:
        if self._recording is not None:
            self._recording.append(call)
            return
        self.queues[stream].append(call)
        self.most_streams_at_work = max(self.most_streams_at_work, sum(map(bool, self.queues.values())))

    def replay(self, graph: list[Callable[[], None]], stream: int) -> None:
        self.replayed.append(len(graph))
        for call in graph:
            self.queue(stream, call)

    def wait(self, stream: int, limit_s: float) -> None:
        while self.queues[stream] and not self._broken:
            busy = [each for each, work in self.queues.items() if work]
            work = self.queues[int(self._random.choice(busy))]
            self._broken = self.done == self.fails_at
            self.done += 1
            work.popleft()()
        if self._broken:
            raise EngineFailed(f"{self.name}: an illegal memory access was encountered while a batch ran")
