"""TensorRT and TensorRT-RTX: a net as a plan on an NVIDIA GPU."""

import logging
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import EngineDoesNotFit, EngineFailed
from contract.manifest import Batches
from contract.model_card import Measurement, ModelCard
from models.engines.building import Watch, recipe_for
from models.engines.crops import checked
from models.engines.cuda import Gpu
from models.engines.library import Library
from models.engines.onnx import OnnxEngine
from models.engines.plans import Trusted, find_plan, make_plan, wanted_batches

LIMIT_S = 30.0  # a batch takes milliseconds; the first one of a bucket may compile kernels (RTX edition)
_log = logging.getLogger(__name__)


class TensorRTEngine:
    """A trusted plan, run on its own stream with buffers and CUDA graphs made once.

    Batches are filled up to the next bucket (powers of two up to the profile's largest) and larger ones are cut, so
    that each shape is prepared once. One context per bucket, all in one scratch memory: a recorded graph stays valid
    because its context is never given another shape.
    """

    def __init__(self, card: ModelCard, plan: Trusted, library: Library, gpu: Gpu, remark: str = "") -> None:
        self.card = card
        self.manifest = plan.manifest
        self.remark = remark  # why the plan was rebuilt, for readiness
        self._gpu, self._library = gpu, library
        self._turn = threading.Lock()  # buffers and stream serve one batch at a time
        engine = _deserialise(plan, library)
        self._engine = engine
        self._stream = gpu.stream()
        self._input, self._outputs = _tensors(engine, library, card)
        self._least, self._most = (shape[0] for shape in engine.get_tensor_profile_shape(self._input, 0)[::2])
        self._row = card.input_edge * card.input_edge * 3
        self._crops = gpu.pinned(self._most * self._row)
        self._answers = {name: gpu.pinned(self._most * width * 4) for name, width in self._outputs.items()}
        self._scratch = gpu.allocate(engine.device_memory_size_v2)
        self._addresses = {
            self._input: gpu.allocate(self._crops.size),
            **{name: gpu.allocate(memory.size) for name, memory in self._answers.items()},
        }
        self._contexts: dict[int, Any] = {}
        self._graphs: dict[int, Any] = {}

    def __call__(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Named outputs of crops (N, H, W, 3) u8 RGB."""
        crops = checked(crops, self.card)
        with self._turn:
            parts = [self._run(crops[first : first + self._most]) for first in range(0, len(crops), self._most)]
        if not parts:
            return {name: np.empty((0, width), np.float32) for name, width in self._outputs.items()}
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def close(self) -> None:
        """Give the memory back. The engine cannot be used afterwards."""
        with self._turn:
            self._contexts.clear()
            self._graphs.clear()
            self._gpu.release([self._scratch, *self._addresses.values()], [self._crops, *self._answers.values()])

    def _run(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        bucket = bucket_for(len(crops), self._least, self._most)
        self._crops[: crops.size] = crops.reshape(-1)
        self._crops[crops.size : bucket * self._row] = 0  # no face of an earlier batch is looked at again
        if bucket in self._graphs:
            self._gpu.replay(self._graphs[bucket], self._stream)
        else:
            self._queue(bucket)
        self._gpu.wait(self._stream, LIMIT_S)
        answers = {
            name: self._answers[name][: len(crops) * width * 4].view(np.float32).reshape(len(crops), width).copy()
            for name, width in self._outputs.items()
        }
        if self._library.records_graphs and bucket not in self._graphs:  # after a first run, as TensorRT asks
            self._graphs[bucket] = self._gpu.record(lambda: self._queue(bucket), self._stream)
        return answers

    def _queue(self, bucket: int) -> None:
        """Copy in, compute, copy out, for one bucket."""
        context = self._context(bucket)
        self._gpu.upload(self._addresses[self._input], self._crops, bucket * self._row, self._stream)
        if not context.execute_async_v3(self._stream):
            raise EngineFailed(f"{self.card.name}: TensorRT refused a batch of {bucket}: {self._why()}")
        for name, width in self._outputs.items():
            self._gpu.download(self._answers[name], self._addresses[name], bucket * width * 4, self._stream)

    def _context(self, bucket: int) -> Any:
        """The context of this bucket, with its shape, addresses and memory set once and for all."""
        if bucket not in self._contexts:
            context = self._library.context(self._engine)
            context.set_device_memory(self._scratch, self._engine.device_memory_size_v2)
            edge = self.card.input_edge
            done = context.set_input_shape(self._input, (bucket, edge, edge, 3))
            done = done and all(context.set_tensor_address(name, at) for name, at in self._addresses.items())
            if not done or context.infer_shapes():
                raise EngineFailed(
                    f"{self.card.name}: TensorRT refused the shapes of a batch of {bucket}: {self._why()}"
                )
            self._contexts[bucket] = context
        return self._contexts[bucket]

    def _why(self) -> str:
        return str((self._library.logger.errors or ["it gives no reason"])[-1])


def open_tensorrt(
    card: ModelCard,
    folder: Path,
    plans: Path,
    library: Library,
    gpu: Gpu,
    batches: Batches | None = None,
    watch: Watch | None = None,
) -> TensorRTEngine:
    """An engine from a trusted plan; where there is none it is built from the card's ONNX, and `remark` says why.

    Raises:
        BadModel: the ONNX is not the card's, or cannot be built.
    """
    plan, refused = find_plan(plans, card, library, gpu)
    if plan is not None:
        try:
            return TensorRTEngine(card, plan, library, gpu)
        except EngineDoesNotFit as error:  # the library itself refuses it: driver, memory
            refused.append(str(error))
    remark = "; ".join(refused) or "there was no plan"
    _log.warning("%s: building a plan: %s", card.name, remark)
    if plan is not None:  # its key would be a cache hit
        (plans / plan.manifest.plan_file).unlink(missing_ok=True)
    recipe = recipe_for(library, gpu, card.precision, batches or wanted_batches(plans, card))
    plan, _ = make_plan(plans, card, folder, library, gpu, recipe, watch)
    return TensorRTEngine(card, plan, library, gpu, f"rebuilt: {remark}")


def accuracy(
    card: ModelCard, folder: Path, plan: Trusted, library: Library, gpu: Gpu, crops: NDArray[np.uint8]
) -> tuple[Measurement, ...]:
    """Largest difference of the plan's logits from ONNX Runtime's, and the share of equal decisions, on these crops."""
    engine = TensorRTEngine(card, plan, library, gpu)
    seen, wanted = engine(crops)[card.output], OnnxEngine(card, folder, 2)(crops)[card.output]
    engine.close()
    made = ("mien engine build", f"ONNX Runtime on the CPU, {len(crops)} crops")
    difference = float(np.abs(seen - wanted).max())
    agreement = float((seen.argmax(1) == wanted.argmax(1)).mean())
    return (
        Measurement("largest difference of a logit from the reference", difference, made[1], made[0]),
        Measurement("equal decisions", agreement, made[1], made[0]),
    )


def bucket_for(crops: int, least: int, most: int) -> int:
    """The smallest prepared batch that holds this many crops: a power of two, or an end of the profile."""
    return max(least, min(most, 1 << (crops - 1).bit_length()))


def _deserialise(plan: Trusted, library: Library) -> Any:
    """The engine in a trusted plan: the only place where a plan becomes code."""
    trt = library.trt
    runtime = trt.Runtime(library.logger)
    runtime.engine_host_code_allowed = False
    library.logger.errors.clear()
    if plan.manifest.recipe.library_version != library.version:
        runtime = _lean_runtime(runtime, plan)
    engine = runtime.deserialize_cuda_engine(plan.body)
    if engine is None:
        reason = (library.logger.errors or ["it gives no reason"])[-1]
        raise EngineDoesNotFit(f"{plan.manifest.plan_file}: {library.flavour} {library.version} refuses it: {reason}")
    return engine


def _lean_runtime(runtime: Any, plan: Trusted) -> Any:
    """The lean runtime of the version that built a version-compatible plan, from the file that the site names."""
    path = os.environ.get("MIEN_TENSORRT_LEAN")
    lean = runtime.load_runtime(path) if path else None
    if lean is None:
        version = plan.manifest.recipe.library_version
        raise EngineDoesNotFit(
            f"{plan.manifest.plan_file}: built by {version}; MIEN_TENSORRT_LEAN={path} is not its lean runtime"
        )
    lean.engine_host_code_allowed = False
    return lean


def _tensors(engine: Any, library: Library, card: ModelCard) -> tuple[str, dict[str, int]]:
    """Name of the input; name and width of each output. Raises `EngineDoesNotFit` when they are not the card's."""
    trt = library.trt
    inputs, outputs = [], {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape, kind = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            inputs.append(name)
            good = kind == trt.DataType.UINT8 and shape[1:] == (card.input_edge, card.input_edge, 3)
        else:
            outputs[name] = int(np.prod(shape[1:]))
            good = kind == trt.DataType.FLOAT and len(shape) == 2 and shape[1] == len(card.labels)
        if not good:
            raise EngineDoesNotFit(f"{card.name}: the plan's tensor {name!r} is {shape} {kind.name}; see its card")
    if len(inputs) != 1 or card.output not in outputs:
        raise EngineDoesNotFit(f"{card.name}: the plan has inputs {inputs}, outputs {list(outputs)}; see its card")
    return inputs[0], outputs
