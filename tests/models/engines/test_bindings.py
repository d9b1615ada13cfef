"""Every attribute of TensorRT and CUDA that the engines use exists in the real bindings."""

import ast
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from contract.errors import EngineFailed
from models.engines import building, cuda, lanes, library, tensorrt
from models.engines.cuda import CudaGpu

KINDS = {
    "trt": "",  # the module itself
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "each": "ParserError",
    "level": "HardwareCompatibilityLevel",
    "severity": "ILogger",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "crops": "ITensor",
    "plan": "IHostMemory",
    "runtime": "Runtime",
    "lean": "Runtime",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "settings": "IRuntimeConfig",
}
"""What the names in the four modules hold. A new name for a TensorRT object is to be added here."""

CALLS = {  # functions in which a name of KINDS holds something of ours
    "TensorRTEngine": {"plan", "crops"},
    "open_tensorrt": {"plan", "engine"},
    "accuracy": {"plan", "engine"},
    "differences": {"engine"},
    "_serving": {"plan", "engine"},
    "Lane": {"crops"},
    "_deserialise": {"plan"},
    "_lean_runtime": {"plan"},
    "recipe_for": {"each"},
    "build_plan": {"plan"},
}
EDITIONS = {"FullLibrary": "trt", "RtxLibrary": "rtx"}
OURS = {"trt": {"__version__"}}


def used() -> set[tuple[str, str, str]]:
    """(edition, class, attribute) of each use; edition «both» outside the two adapters."""
    found = set()
    for module in (building, lanes, library, tensorrt):
        for top in ast.parse(inspect.getsource(module)).body:
            name = getattr(top, "name", "")
            for node in ast.walk(top):
                if not isinstance(node, ast.Attribute):
                    continue
                path = _path(node)
                for root, kind in KINDS.items():
                    if root not in path[:-1] or root in CALLS.get(name, ()):
                        continue
                    rest = path[path.index(root) + 1 :]
                    if rest and rest[0] not in OURS.get(root, ()):
                        edition = EDITIONS.get(name, "both")
                        found.add((edition, kind, rest[0]))
                        if kind == "" and len(rest) > 1:  # trt.BuilderFlag.TF32
                            found.add((edition, rest[0], rest[1]))
    return found


def _path(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [*_path(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else []


def test_the_list_of_uses_is_not_empty():
    names = {attribute for _, _, attribute in used()}

    assert len(names) > 45
    assert names >= {
        "execute_async_v3",
        "set_tensor_address",
        "set_input_shape",
        "deserialize_cuda_engine",
        "engine_host_code_allowed",
        "build_serialized_network",
        "get_error",
        "progress_monitor",
        "set_timing_cache",
        "STRONGLY_TYPED",
        "VERSION_COMPATIBLE",
        "AMPERE_PLUS",
        "UINT8",
        "set_device_memory",
        "set_compute_capability",
    }


@pytest.mark.parametrize("edition", ["both", "trt", "rtx"])
def test_every_attribute_exists_in_the_rtx_edition(edition):
    rtx = pytest.importorskip("tensorrt_rtx")
    # HardwareCompatibilityLevel and the timing cache are there too, as no-ops: all three sets can be looked up.
    missing = [
        f"{kind}.{attribute}"
        for where, kind, attribute in sorted(used())
        if where == edition and not hasattr(getattr(rtx, kind) if kind else rtx, attribute)
    ]

    assert missing == []


@pytest.fixture(scope="module")
def strings_of_tensorrt(tmp_path_factory) -> bytes:
    """The bytes of tensorrt.so; its bindings cannot be imported without the libraries, which are not on PyPI alone."""
    folder = tmp_path_factory.mktemp("bindings")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*command, "-d", str(folder), "tensorrt-cu13-bindings>=11,<12"], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        pytest.skip("tensorrt-cu13-bindings could not be downloaded within a minute")
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        pytest.skip(f"tensorrt-cu13-bindings could not be downloaded: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return wheel.read(next(name for name in wheel.namelist() if name.endswith("tensorrt.so")))


def test_every_attribute_but_those_of_rtx_exists_in_the_full_edition(strings_of_tensorrt):
    names = {part for edition, kind, attribute in used() if edition != "rtx" for part in (kind, attribute) if part}

    # A linker stores a string that ends another one only once, so a name ends a string of the file.
    missing = [name for name in sorted(names) if name.encode() + b"\0" not in strings_of_tensorrt]

    assert missing == []


def test_the_strings_tell_the_editions_apart(strings_of_tensorrt):
    only_rtx = {attribute for edition, _, attribute in used() if edition == "rtx"} & {
        "set_compute_capability",
        "num_compute_capabilities",
        "cuda_graph_strategy",
    }

    assert len(only_rtx) == 3
    assert [name for name in only_rtx if name.encode() + b"\0" in strings_of_tensorrt] == []


@pytest.mark.parametrize("name", ["FakeContext", "FakeEngine", "FakeRuntime"])
def test_the_stand_in_has_no_attribute_that_the_real_one_lacks(fakes, name):
    rtx = pytest.importorskip("tensorrt_rtx")
    fake = getattr(fakes, name)
    real = {"FakeContext": rtx.IExecutionContext, "FakeEngine": rtx.ICudaEngine, "FakeRuntime": rtx.Runtime}[name]
    spies = {"given", "names"}

    public = {each for each in vars(fake) if not each.startswith("_")} - spies

    assert [each for each in public if not hasattr(real, each)] == []


def cudart():
    return pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")


def test_every_cuda_function_exists():
    runtime = cudart()
    source = inspect.getsource(cuda)
    names = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("cuda")
        and node.value.isalnum()
    } - {"cuda"}
    names |= {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name | ast.Attribute)
        and node.attr.startswith("cuda")
    }

    assert len(names) > 15
    members = set(dir(runtime)) | {
        each
        for kind in ("cudaError_t", "cudaMemcpyKind", "cudaStreamCaptureMode")
        for each in dir(getattr(runtime, kind))
    }
    assert names - members == set()


def test_cuda_takes_the_arguments_that_it_is_given():
    """Without a driver each call answers with an error of CUDA, not with a TypeError of its binding."""
    import numpy as np

    runtime = cudart()
    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("there is a GPU: a null stream and address would be used")
    gpu = CudaGpu(runtime, "no GPU", "0.0")
    memory = np.zeros(8, np.uint8)
    calls = [
        lambda: gpu.allocate(16),
        lambda: gpu.pinned(16),
        lambda: gpu.release([0], []),
        lambda: gpu.release([], [memory]),
        lambda: gpu.stream(),
        lambda: gpu.upload(0, memory, 8, 0),
        lambda: gpu.download(memory, 0, 8, 0),
        lambda: gpu.wait(0, 1.0),
        lambda: gpu.record(lambda: None, 0),
        lambda: gpu.replay(runtime.cudaGraphExec_t(0), 0),
    ]
    for call in calls:
        with pytest.raises(EngineFailed, match=r"no GPU: .*driver"):
            call()


def test_without_a_gpu_none_is_found():
    runtime = cudart()
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")

    assert runtime.cudaGetDeviceCount()[0] != runtime.cudaError_t.cudaSuccess
    assert cuda.find_gpu() is None
