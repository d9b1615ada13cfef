"""Lanes of a plan on a GPU: each has its stream, buffers, contexts and CUDA graphs, so that two batches overlap."""

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contract.errors import EngineFailed, OutOfDeviceMemory
from models.engines import Crops, Outputs
from models.engines.cuda import Gpu
from models.engines.library import Library

LIMIT_S = 30.0  # a batch takes milliseconds; the first one of a bucket may compile kernels (RTX edition)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a plan takes and gives."""

    name: str  # of the net, for errors
    input: str
    edge: int  # px
    outputs: dict[str, int]  # name -> width
    least: int  # crops in the profile's smallest batch
    most: int  # and in its largest

    @property
    def row(self) -> int:
        """Bytes of a crop."""
        return self.edge * self.edge * 3


@dataclass(slots=True, eq=False)
class Part:
    """A piece of a batch that fits a lane; `outputs` once the lane has finished it."""

    lane: "Lane"
    count: int
    outputs: Outputs | None = None

    def collect(self) -> Outputs:
        """Wait for this piece and return its outputs, (count, width) each.

        Raises:
            EngineFailed: the device reports an error or does not answer.
        """
        with self.lane.lock:
            if self.outputs is None:
                self.lane.finish()
        assert self.outputs is not None  # a lane finishes the piece that it holds
        return self.outputs


class Lane:
    """One stream over a deserialised plan, with room for one piece of a batch.

    Copy in, compute and copy out of a bucket are queued once as they are; from its second batch on they are one
    recorded graph. There is one context per bucket, because a graph stays valid only while its context keeps its shape.

    Args:
        engine: TensorRT's.
        shapes: of the plan; `most` bounds the buffers.

    Raises:
        OutOfDeviceMemory: the buffers do not fit; nothing is kept.
    """

    def __init__(self, engine: Any, library: Library, gpu: Gpu, shapes: Shapes) -> None:
        self.lock = threading.Lock()
        self._engine, self._library, self._gpu, self._shapes = engine, library, gpu, shapes
        self._stream = gpu.stream()
        self._crops = gpu.pinned(shapes.most * shapes.row)
        self._answers = {name: gpu.pinned(shapes.most * width * 4) for name, width in shapes.outputs.items()}
        self._memory: list[int] = []
        self._contexts: dict[int, Any] = {}
        self._graphs: dict[int, Any] = {}
        self._part: Part | None = None
        self._failure: EngineFailed | None = None  # an error of CUDA sticks to the process
        sizes = {"": engine.device_memory_size_v2, shapes.input: self._crops.size}
        sizes |= {name: memory.size for name, memory in self._answers.items()}
        self.device_bytes = sum(sizes.values())
        try:
            for size in sizes.values():
                self._memory.append(gpu.allocate(size))
        except OutOfDeviceMemory:
            self.close()
            raise
        self._scratch, *places = self._memory
        self._addresses = dict(zip((shapes.input, *shapes.outputs), places, strict=True))

    def start(self, crops: Crops, bucket: int) -> Part:
        """Queue crops (n, edge, edge, 3), n up to `bucket`, after finishing what the lane holds.

        Raises:
            OutOfDeviceMemory: no room for a context of this bucket; the crops were not queued.
            EngineFailed: the device or TensorRT refused.
        """
        with self.lock:
            self.finish()
            context = self._context(bucket)
            self._crops[: crops.size] = crops.reshape(-1)
            self._crops[crops.size : bucket * self._shapes.row] = 0  # no face of an earlier batch is looked at again
            self._queue_or_replay(context, bucket)
            self._part = Part(self, len(crops))
            return self._part

    def finish(self) -> None:
        """Wait for the piece that the lane holds, and give it its outputs. The caller holds `lock`.

        Raises:
            EngineFailed: the device reports an error or does not answer, now or earlier.
        """
        if self._failure is not None:
            raise self._failure
        if self._part is None:
            return
        try:
            self._gpu.wait(self._stream, LIMIT_S)
        except EngineFailed as error:
            self._failure = error
            raise
        part, self._part = self._part, None
        part.outputs = {
            name: self._answers[name][: part.count * width * 4].view(np.float32).reshape(part.count, width).copy()
            for name, width in self._shapes.outputs.items()
        }

    def close(self) -> None:
        """Finish, then give all memory back; after a failure the process ends, and its memory with it."""
        with self.lock, contextlib.suppress(EngineFailed):
            self.finish()
            self._contexts.clear()
            self._graphs.clear()
            memory, self._memory = self._memory, []
            self._gpu.release(memory, [self._crops, *self._answers.values()])

    def _queue_or_replay(self, context: Any, bucket: int) -> None:
        if bucket in self._graphs:
            if self._graphs[bucket] is None:  # a first run went before, as TensorRT asks
                self._graphs[bucket] = self._gpu.record(lambda: self._queue(context, bucket), self._stream)
            self._gpu.replay(self._graphs[bucket], self._stream)
            return
        self._queue(context, bucket)
        if self._library.records_graphs:
            self._graphs[bucket] = None

    def _queue(self, context: Any, bucket: int) -> None:
        """Copy in, compute, copy out, for one bucket."""
        self._gpu.upload(self._addresses[self._shapes.input], self._crops, bucket * self._shapes.row, self._stream)
        if not context.execute_async_v3(self._stream):
            raise EngineFailed(f"{self._shapes.name}: TensorRT refused a batch of {bucket}: {self._why()}")
        for name, width in self._shapes.outputs.items():
            self._gpu.download(self._answers[name], self._addresses[name], bucket * width * 4, self._stream)

    def _context(self, bucket: int) -> Any:
        """The context of this bucket, with its shape, addresses and memory set once and for all."""
        if bucket not in self._contexts:
            context = self._library.context(self._engine)
            if context is None:
                raise OutOfDeviceMemory(f"{self._shapes.name}: no room for a context of {bucket} crops: {self._why()}")
            context.set_device_memory(self._scratch, self._engine.device_memory_size_v2)
            edge = self._shapes.edge
            done = context.set_input_shape(self._shapes.input, (bucket, edge, edge, 3))
            done = done and all(context.set_tensor_address(name, at) for name, at in self._addresses.items())
            if not done or context.infer_shapes():
                raise EngineFailed(
                    f"{self._shapes.name}: TensorRT refused the shapes of a batch of {bucket}: {self._why()}"
                )
            self._contexts[bucket] = context
        return self._contexts[bucket]

    def _why(self) -> str:
        return str((self._library.logger.errors or ["it gives no reason"])[-1])


@dataclass(slots=True)
class Parts:
    """The ticket of a whole batch: its pieces in order."""

    pieces: list[Part]
    widths: dict[str, int]
    _outputs: Outputs | None = field(default=None)

    def collect(self) -> Outputs:
        """Wait for all pieces and return the outputs of the batch.

        Raises:
            EngineFailed: the device reports an error or does not answer.
        """
        if self._outputs is None:
            parts = [piece.collect() for piece in self.pieces]
            empty = {name: [np.empty((0, width), np.float32)] for name, width in self.widths.items()}
            self._outputs = {name: np.concatenate([*empty[name], *(part[name] for part in parts)]) for name in empty}
        return self._outputs
