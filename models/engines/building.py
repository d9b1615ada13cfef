"""ONNX → plan, through the TensorRT Python API."""

from collections.abc import Callable
from typing import Any

from contract.errors import BadModel, BadRequest
from contract.manifest import Batches, Recipe
from models.engines.cuda import Gpu
from models.engines.library import HARDWARE, Library

Watch = Callable[[str, int, int], bool]
"""Told of (phase, step, steps); answers whether to go on."""

PRECISIONS = ("fp32", "fp16", "int8", "fp8")
FP8_FROM = (8, 9)  # Ada; earlier tensor cores have no fp8


def recipe_for(
    library: Library,
    gpu: Gpu | None,
    precision: str,
    batches: Batches,
    targets: tuple[str, ...] = (),
    hardware_compatibility: str = "none",
    version_compatible: bool = False,
) -> Recipe:
    """The recipe of a plan of this library for this machine.

    Args:
        library: the edition that builds and runs it.
        gpu: the one at hand; None: build for cards that are not here (RTX edition only).
        precision: of the ONNX file.
        batches: sizes of the optimisation profile.
        targets: compute capabilities instead of those of the GPU (RTX edition only).
        hardware_compatibility: one of `HARDWARE`.
        version_compatible: may later minor versions run it, through the lean runtime of this one?

    Raises:
        BadRequest: an option that this edition or this GPU does not have.
    """
    if precision not in PRECISIONS or hardware_compatibility not in HARDWARE:
        raise BadRequest(f"{precision}, {hardware_compatibility}: wanted one of {PRECISIONS} and one of {HARDWARE}")
    if not 1 <= batches.least <= batches.best <= batches.most:
        raise BadRequest(f"batches {batches.least}/{batches.best}/{batches.most}: wanted 1 <= min <= opt <= max")
    if targets and library.flavour != "rtx":
        raise BadRequest("only the RTX edition builds for other GPUs than the one at hand")
    capabilities = targets or library.targets(gpu)
    if precision == "fp8":
        too_old = [each for each in capabilities if tuple(map(int, each.split("."))) < FP8_FROM]
        if targets and too_old:
            raise BadRequest(f"compute capability {too_old[0]} has no fp8; it begins with 8.9 (Ada). Use fp16 or int8")
        capabilities = tuple(each for each in capabilities if each not in too_old)
        if not capabilities:
            raise BadRequest(
                f"{gpu.name if gpu else 'this GPU'} has no fp8 (it begins with 8.9, Ada): use fp16 or int8"
            )
    tuned_on = gpu.name if gpu is not None and library.flavour == "trt" else ""
    return Recipe(
        library.flavour,
        library.version,
        precision,
        batches,
        capabilities,
        tuned_on,
        hardware_compatibility,
        version_compatible,
    )


def build_plan(
    library: Library, onnx_body: bytes, recipe: Recipe, timings: bytes = b"", watch: Watch | None = None
) -> tuple[bytes, bytes]:
    """The plan and the timing cache after it.

    Args:
        library: what `recipe` names.
        onnx_body: one u8 input (N, H, W, 3) with dynamic N; types are final, the network is strongly typed.
        recipe: what the plan shall be.
        timings: the timing cache of earlier builds.
        watch: told of progress; answering False ends the build.

    Raises:
        BadModel: TensorRT cannot parse or build the graph; the message holds what its parser says of each node.
    """
    trt = library.trt
    library.logger.errors.clear()
    builder = trt.Builder(library.logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(onnx_body):
        raise BadModel(f"TensorRT {library.version} cannot parse the ONNX: {_parser_errors(parser)}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32: the tolerance is 1e-4
    library.prepare(config, recipe, timings)
    config.add_optimization_profile(_profile(trt, builder, network, recipe.batches))
    monitor = _monitor(trt, watch) if watch else None
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        if monitor is not None and not monitor.wanted:
            raise BadModel("the build was interrupted; nothing was written")
        reasons = "; ".join(library.logger.errors) or "it gives no reason"
        raise BadModel(f"TensorRT {library.version} cannot build the plan: {reasons}")
    return bytes(plan), library.timings(config)


def _profile(trt: Any, builder: Any, network: Any, batches: Batches) -> Any:
    if network.num_inputs != 1:
        raise BadModel(f"the graph has {network.num_inputs} inputs, wanted one: crops (N, H, W, 3) u8")
    crops = network.get_input(0)
    batch, *rest = crops.shape
    if crops.dtype != trt.DataType.UINT8 or len(rest) != 3 or batch != -1 or -1 in rest:
        raise BadModel(f"the input is {tuple(crops.shape)} {crops.dtype.name}, wanted u8 (N, H, W, 3), N dynamic")
    profile = builder.create_optimization_profile()
    profile.set_shape(crops.name, *((size, *rest) for size in (batches.least, batches.best, batches.most)))
    return profile


def _parser_errors(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return (
        "; ".join(f"{each.node_operator()} {each.node_name()!r}: {each.desc()}" for each in errors) or "no reason given"
    )


def _monitor(trt: Any, watch: Watch) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.wanted = True
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            self.wanted = watch(phase_name, 0, num_steps) and self.wanted

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.wanted = watch(phase_name, step + 1, self._steps[phase_name]) and self.wanted
            return self.wanted

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name)
            watch(phase_name, steps, steps)

    return Monitor()
