"""TensorRT and TensorRT-RTX: one API under two names. Here stands what differs; everything else is shared.

Facts seen with tensorrt_rtx 1.7.1 and in the bindings of tensorrt 11.4 (docs/engines.md): RTX builds without a GPU for
stated compute capabilities and compiles kernels on the user's machine, so it times nothing and keeps no timing cache,
captures CUDA graphs itself, and knows neither hardware nor version compatibility.
"""

import functools
import importlib
import logging
from dataclasses import dataclass
from typing import Any

from contract.errors import BadRequest, EngineUnavailable
from contract.manifest import Recipe
from models.engines.cuda import Gpu

INSTALL = (
    "no {what} is installed: `pip install 'mien[gpu]'` brings TensorRT (it builds and runs on the GPU at hand), "
    "`pip install tensorrt-rtx` its RTX edition (it builds anywhere and runs on GeForce and RTX cards)"
)
HARDWARE = ("none", "same_compute_capability", "ampere_plus")


@dataclass(frozen=True, slots=True)
class Library:
    """What the two editions share."""

    trt: Any  # the module
    logger: Any
    flavour = ""
    records_graphs = False  # does the engine record CUDA graphs, or the library itself?

    @property
    def version(self) -> str:
        """Of the library, «11.4.0.106»."""
        return str(self.trt.__version__)

    def targets(self, gpu: Gpu | None) -> tuple[str, ...]:
        """Compute capabilities that a plan built here will run on."""
        raise NotImplementedError

    def runs_on(self, gpu: Gpu) -> bool:
        """Can this edition run on the GPU at all?"""
        raise NotImplementedError

    def prepare(self, config: Any, recipe: Recipe, timings: bytes) -> None:
        """Set on the builder's configuration what only this edition has."""
        raise NotImplementedError

    def timings(self, config: Any) -> bytes:
        """The timing cache after a build; empty where the edition keeps none."""
        raise NotImplementedError

    def context(self, engine: Any) -> Any:
        """An execution context that works in memory given by the caller."""
        raise NotImplementedError


class FullLibrary(Library):
    """`tensorrt`: builds on the GPU that will run the plan."""

    __slots__ = ()
    flavour = "trt"
    records_graphs = True

    def targets(self, gpu: Gpu | None) -> tuple[str, ...]:
        """The capability of the GPU at hand.

        Raises:
            EngineUnavailable: no GPU is here.
        """
        if gpu is None:
            raise EngineUnavailable(
                "TensorRT times its kernels on the GPU that will run them, and none is here; "
                "build there, or use `--flavour rtx`, which builds anywhere"
            )
        return (gpu.compute_capability,)

    def runs_on(self, gpu: Gpu) -> bool:
        """Turing and later."""
        return _number(gpu.compute_capability) >= (7, 5)

    def prepare(self, config: Any, recipe: Recipe, timings: bytes) -> None:
        """Compatibility options and the timing cache."""
        level = self.trt.HardwareCompatibilityLevel
        config.hardware_compatibility_level = {
            "none": level.NONE,
            "same_compute_capability": level.SAME_COMPUTE_CAPABILITY,
            "ampere_plus": level.AMPERE_PLUS,
        }[recipe.hardware_compatibility]
        if recipe.version_compatible:
            config.set_flag(self.trt.BuilderFlag.VERSION_COMPATIBLE)
            config.set_flag(self.trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)  # a plan must not bring host code
        if not config.set_timing_cache(config.create_timing_cache(timings), False):
            config.set_timing_cache(config.create_timing_cache(b""), False)  # another GPU's: start anew

    def timings(self, config: Any) -> bytes:
        """The timing cache after a build."""
        return bytes(config.get_timing_cache().serialize())

    def context(self, engine: Any) -> Any:
        """A context without memory of its own."""
        return engine.create_execution_context(self.trt.ExecutionContextAllocationStrategy.USER_MANAGED)


class RtxLibrary(Library):
    """`tensorrt_rtx`: builds anywhere, for stated compute capabilities."""

    __slots__ = ()
    flavour = "rtx"
    records_graphs = False
    known = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")  # trt.ComputeCapability of 1.7; not 9.0 and 10.x

    def targets(self, gpu: Gpu | None) -> tuple[str, ...]:
        """The GPU at hand, or every card from Ampere on."""
        if gpu is not None and gpu.compute_capability in self.known:
            return (gpu.compute_capability,)
        return self.known[1:]

    def runs_on(self, gpu: Gpu) -> bool:
        """GeForce and RTX cards; H100 and B200 are refused by the library."""
        return gpu.compute_capability in self.known

    def prepare(self, config: Any, recipe: Recipe, timings: bytes) -> None:
        """The compute capabilities to build for.

        Raises:
            BadRequest: this edition knows no such compatibility, or does not run on that card.
        """
        if recipe.version_compatible or recipe.hardware_compatibility != "none":
            raise BadRequest(
                "the RTX edition knows no version or hardware compatibility; its plans are built for a list of "
                f"compute capabilities instead ({', '.join(self.known)})"
            )
        if unknown := [each for each in recipe.compute_capabilities if each not in self.known]:
            raise BadRequest(f"TensorRT-RTX does not run on compute capability {unknown[0]}, only on {self.known}")
        config.num_compute_capabilities = len(recipe.compute_capabilities)
        for index, capability in enumerate(recipe.compute_capabilities):
            name = f"SM{capability.replace('.', '')}"
            config.set_compute_capability(self.trt.ComputeCapability.__members__[name], index)

    def timings(self, config: Any) -> bytes:
        """Nothing: the RTX edition times nothing."""
        return b""

    def context(self, engine: Any) -> Any:
        """A context without memory of its own; the library records CUDA graphs once its kernels are compiled."""
        settings = engine.create_runtime_config()
        settings.cuda_graph_strategy = self.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        settings.set_execution_context_allocation_strategy(self.trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        return engine.create_execution_context(settings)


@functools.cache
def load_library(flavour: str) -> Library:
    """The library of this flavour, «trt» or «rtx».

    Raises:
        EngineUnavailable: it is not installed; the message says what to install.
    """
    module, kind = {"trt": ("tensorrt", FullLibrary), "rtx": ("tensorrt_rtx", RtxLibrary)}[flavour]
    try:
        trt = importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: the bindings are there, their libraries are not
        what = "TensorRT" if flavour == "trt" else "TensorRT-RTX"
        raise EngineUnavailable(INSTALL.format(what=what)) from error
    return kind(trt, _logger(trt))


def library_for(gpu: Gpu | None, flavour: str | None = None) -> Library:
    """The asked library; without a wish the first that is installed and runs on the GPU.

    Raises:
        EngineUnavailable: there is none; the message says what to install.
    """
    if flavour is not None:
        return load_library(flavour)
    for each in ("trt", "rtx"):
        try:
            library = load_library(each)
        except EngineUnavailable:
            continue
        if (gpu is None and each == "rtx") or (gpu is not None and library.runs_on(gpu)):
            return library
    place = f" for {gpu.name} (compute capability {gpu.compute_capability})" if gpu else ""
    raise EngineUnavailable(INSTALL.format(what=f"TensorRT{place}"))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _logger(trt: Any) -> Any:
    """TensorRT keeps the first logger of a process for ever; this one feeds ours and remembers what went wrong."""
    log = logging.getLogger("mien.engines.tensorrt")
    severity = trt.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.DEBUG,  # without a driver the RTX edition reports one and goes on
        severity.ERROR: logging.DEBUG,  # raised by the caller
        severity.WARNING: logging.INFO,
        severity.INFO: logging.DEBUG,
        severity.VERBOSE: 5,
    }

    class Remembering(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity == trt.ILogger.Severity.ERROR:
                self.errors = [*self.errors[-9:], message]
            log.log(levels[severity], "%s", message)

    return Remembering()
