"""TensorRT and TensorRT-RTX: a net as a plan on an NVIDIA GPU."""

import logging
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import EngineDoesNotFit, OutOfDeviceMemory
from contract.manifest import Batches
from contract.model_card import Measurement, ModelCard, weights_of
from models.engines import Crops, Outputs
from models.engines.building import Watch, recipe_for
from models.engines.crops import checked, noise
from models.engines.cuda import Gpu
from models.engines.lanes import Lane, Part, Parts, Shapes
from models.engines.library import Library
from models.engines.onnx import open_session
from models.engines.plans import RELATIVE, Trusted, find_plan, make_plan, measured_plan, wanted_batches

COMPARED = 16  # crops that a plan must answer as its ONNX does before it serves
LANES = 2  # batches in flight: one is copied while the other computes; a third would only take memory
_log = logging.getLogger(__name__)


class TensorRTEngine:
    """A trusted plan, run on two lanes: while one batch computes, the next is copied in and the last copied out.

    Batches are filled up to the next bucket (powers of two up to the profile's largest) and larger ones are cut, so
    that each shape is prepared once. Where the device's memory is too small, the largest bucket is halved, and `remark`
    says so. The weights take the plan's size, `device_bytes` comes on top.
    """

    def __init__(self, card: ModelCard, plan: Trusted, library: Library, gpu: Gpu, remark: str = "") -> None:
        self.card = card
        self.manifest = plan.manifest
        self.remark = remark  # why the plan was rebuilt or its batches are smaller, for readiness
        self._lock = threading.Lock()  # of submitting: pieces of a batch take the lanes in turn
        self._next = 0
        engine = _deserialise(plan, library)
        name, outputs = _tensors(engine, library, card)
        least, most = (shape[0] for shape in engine.get_tensor_profile_shape(name, 0)[::2])
        self._shapes = Shapes(card.name, name, card.input_edge, outputs, least, most)
        self._lanes = self._open_lanes(engine, library, gpu)

    @property
    def most(self) -> int:
        """Crops in the largest batch that is not cut."""
        return self._shapes.most

    @property
    def device_bytes(self) -> int:
        """Memory of the GPU for buffers and scratch."""
        return sum(lane.device_bytes for lane in self._lanes)

    def __call__(self, crops: Crops) -> Outputs:
        """Return the outputs of crops (N, H, W, 3) u8 RGB."""
        return self.submit(crops).collect()

    def submit(self, crops: Crops) -> Parts:
        """Queue crops (N, H, W, 3) u8 RGB and return their ticket; waits where both lanes are taken.

        Raises:
            BadRequest: the crops have another shape or type.
            EngineFailed: the device or TensorRT refused; OutOfDeviceMemory where not even the smallest bucket fits.
        """
        crops = checked(crops, self.card)
        pieces: list[Part] = []
        first = 0
        with self._lock:
            while first < len(crops):
                piece = crops[first : first + self._shapes.most]
                bucket = bucket_for(len(piece), self._shapes.least, self._shapes.most)
                try:
                    pieces.append(self._lanes[self._next % LANES].start(piece, bucket))
                except OutOfDeviceMemory as error:
                    self._halve(bucket, error)
                    continue
                self._next += 1
                first += len(piece)
        return Parts(pieces, self._shapes.outputs)

    def warm_up(self, most: int) -> None:
        """Run each bucket up to that of `most` crops twice in each lane: contexts, kernels and graphs are made then."""
        wanted = bucket_for(max(1, min(most, self._shapes.most)), self._shapes.least, self._shapes.most)
        for bucket in buckets(self._shapes.least, wanted):
            crops = noise(self.card.input_edge, min(bucket, self._shapes.most))
            for _ in range(2 * LANES):
                self.submit(crops)
        for lane in self._lanes:
            with lane.lock:
                lane.finish()

    def close(self) -> None:
        """Finish what was submitted and give the memory back; tickets stay collectable, new batches are not taken."""
        with self._lock:
            for lane in self._lanes:
                lane.close()

    def _open_lanes(self, engine: Any, library: Library, gpu: Gpu) -> list[Lane]:
        """Both lanes, with buffers for as large a batch as fits."""
        while True:
            lanes: list[Lane] = []
            try:
                for _ in range(LANES):
                    lanes.append(Lane(engine, library, gpu, self._shapes))
            except OutOfDeviceMemory as error:
                for lane in lanes:
                    lane.close()
                self._halve(self._shapes.most, error)
                continue
            return lanes

    def _halve(self, bucket: int, error: OutOfDeviceMemory) -> None:
        """Make batches of half this bucket the largest, or raise the error where it is the smallest already."""
        if bucket <= self._shapes.least:
            raise error
        self._shapes = replace(self._shapes, most=max(self._shapes.least, bucket // 2))
        note = f"batches of at most {self._shapes.most} crops: {error}"
        self.remark = "; ".join(filter(None, (self.remark, note)))
        _log.warning("%s: %s", self.card.name, note)


def open_tensorrt(
    card: ModelCard,
    folder: Path,
    plans: Path,
    library: Library,
    gpu: Gpu,
    batches: Batches | None = None,
    watch: Watch | None = None,
) -> TensorRTEngine:
    """Return an engine from a trusted plan whose accuracy on this machine is known.

    Where there is no plan it is built from the card's ONNX, and `remark` says why. A plan that was built where it
    could not run is measured before it serves; one that answers otherwise than its ONNX never serves.

    Raises:
        BadModel: the ONNX is not the card's, or cannot be built.
        EngineDoesNotFit: a fresh plan answers otherwise than its ONNX.
    """
    plan, refused = find_plan(plans, card, library, gpu)
    if plan is not None:
        try:
            return _serving(card, folder, plans, plan, TensorRTEngine(card, plan, library, gpu))
        except EngineDoesNotFit as error:  # the library itself refuses it (driver, memory), or it answers otherwise
            refused.append(str(error))
    remark = "; ".join(refused) or "there was no plan"
    _log.warning("%s: building a plan: %s", card.name, remark)
    if plan is not None:  # its key would be a cache hit
        (plans / plan.manifest.plan_file).unlink(missing_ok=True)
    recipe = recipe_for(library, gpu, card.precision, batches or wanted_batches(plans, card))
    plan, _ = make_plan(plans, card, folder, library, gpu, recipe, watch)
    engine = TensorRTEngine(card, plan, library, gpu, f"rebuilt: {remark}")
    return _serving(card, folder, plans, plan, engine)


def _serving(card: ModelCard, folder: Path, plans: Path, plan: Trusted, engine: TensorRTEngine) -> TensorRTEngine:
    """Return the engine once its plan's accuracy is known and good; close it where it is not."""
    shown = noise(card.input_edge, COMPARED)
    try:
        engine.manifest = measured_plan(plans, plan, lambda _: differences(card, folder, engine, shown)).manifest
    except EngineDoesNotFit:
        engine.close()
        raise
    return engine


def accuracy(
    card: ModelCard, folder: Path, plan: Trusted, library: Library, gpu: Gpu, crops: NDArray[np.uint8]
) -> tuple[Measurement, ...]:
    """Return `differences` of a plan on crops (N, edge, edge, 3)."""
    engine = TensorRTEngine(card, plan, library, gpu)
    try:
        return differences(card, folder, engine, crops)
    finally:
        engine.close()


def differences(
    card: ModelCard, folder: Path, engine: TensorRTEngine, crops: NDArray[np.uint8]
) -> tuple[Measurement, ...]:
    """Return how far an engine's answers are from ONNX Runtime's on crops (N, edge, edge, 3).

    The largest difference of a logit as it is and over the largest logit, and the share of equal decisions.
    """
    seen = engine(crops)[card.output]
    eight = card.precision in ("int8", "fp8")
    session = open_session(weights_of(card, folder), 2, card.name, card.weight_bits, literally=eight)
    wanted = session.run([card.output], {session.get_inputs()[0].name: crops})[0]
    difference = float(np.abs(seen - wanted).max())
    several = card.task == "action_units"
    same = (seen > 0) == (wanted > 0) if several else seen.argmax(1) == wanted.argmax(1)
    command, data = "mien engine build", f"ONNX Runtime on the CPU, {len(crops)} crops"
    return (
        Measurement("largest difference of a logit from the reference", difference, data, command),
        Measurement(RELATIVE, difference / max(1e-6, float(np.abs(wanted).max())), data, command),
        Measurement("equal decisions", float(same.mean()), data, command),
    )


def buckets(least: int, most: int) -> list[int]:
    """Return the prepared batches: powers of two between the ends of the profile, and the ends."""
    powers = (1 << power for power in range(most.bit_length()))
    return sorted({least, most, *(power for power in powers if least < power < most)})


def bucket_for(crops: int, least: int, most: int) -> int:
    """Return the smallest prepared batch that holds this many crops: a power of two, or an end of the profile."""
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
