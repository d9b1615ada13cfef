"""Which edition of TensorRT is taken, and what is said where there is none."""

import importlib

import pytest

from contract.errors import BadRequest, EngineUnavailable
from contract.manifest import Batches
from models.engines import library as libraries
from models.engines.building import recipe_for
from models.engines.library import RtxLibrary, library_for, load_library


@pytest.fixture
def no_tensorrt(monkeypatch):
    """A machine with neither library."""
    real = importlib.import_module

    def importing(name, *rest):
        if name.startswith("tensorrt"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(libraries.importlib, "import_module", importing)
    load_library.cache_clear()
    yield
    load_library.cache_clear()


@pytest.mark.parametrize("flavour", [None, "trt", "rtx"])
def test_without_a_library_the_error_says_what_to_install(no_tensorrt, flavour):
    with pytest.raises(EngineUnavailable, match=r"pip install 'mien\[gpu\]'.*pip install tensorrt-rtx"):
        library_for(None, flavour)


def test_bindings_without_their_libraries_count_as_missing(monkeypatch):
    def importing(name, *rest):
        raise OSError("libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(libraries.importlib, "import_module", importing)
    load_library.cache_clear()
    with pytest.raises(EngineUnavailable, match="no TensorRT is installed"):
        load_library("trt")
    load_library.cache_clear()


def test_the_rtx_edition_is_not_taken_for_a_datacentre_gpu(fakes):
    rtx = load_library("rtx")

    assert not rtx.runs_on(fakes.HostGpu("NVIDIA H200", "9.0"))
    assert rtx.runs_on(fakes.HostGpu("NVIDIA GeForce RTX 4090", "8.9"))


def test_the_full_edition_builds_only_where_a_gpu_is(library):
    with pytest.raises(EngineUnavailable, match=r"none is here.*--flavour rtx"):
        recipe_for(library, None, "fp32", Batches())


def test_the_rtx_edition_builds_for_cards_that_are_not_here():
    recipe = recipe_for(load_library("rtx"), None, "fp16", Batches())

    assert recipe.compute_capabilities == ("8.0", "8.6", "8.9", "12.0", "12.1")
    assert recipe.gpu == ""


def test_every_known_capability_has_a_name_in_the_library():
    trt = load_library("rtx").trt

    assert all(f"SM{each.replace('.', '')}" in trt.ComputeCapability.__members__ for each in RtxLibrary.known)


def test_fp8_is_refused_where_the_gpu_has_none(library, fakes):
    with pytest.raises(BadRequest, match=r"NVIDIA RTX A4000 has no fp8 \(it begins with 8\.9, Ada\)"):
        recipe_for(library, fakes.HostGpu("NVIDIA RTX A4000", "8.6"), "fp8", Batches())
    with pytest.raises(BadRequest, match=r"compute capability 8\.6 has no fp8"):
        recipe_for(load_library("rtx"), None, "fp8", Batches(), targets=("8.6",))


def test_fp8_without_a_gpu_is_built_for_the_cards_that_have_it():
    recipe = recipe_for(load_library("rtx"), None, "fp8", Batches())

    assert recipe.compute_capabilities == ("8.9", "12.0", "12.1")


@pytest.mark.parametrize(
    ("precision", "batches", "hardware", "reason"),
    [
        ("bf8", Batches(), "none", "bf8"),
        ("fp32", Batches(0, 1, 2), "none", "wanted 1 <= min <= opt <= max"),
        ("fp32", Batches(1, 9, 8), "none", "batches 1/9/8"),
        ("fp32", Batches(), "all", "same_compute_capability"),
    ],
)
def test_a_wrong_option_is_refused_by_name(library, gpu, precision, batches, hardware, reason):
    with pytest.raises(BadRequest, match=reason):
        recipe_for(library, gpu, precision, batches, hardware_compatibility=hardware)


def test_other_targets_are_for_the_rtx_edition_only(library, gpu):
    with pytest.raises(BadRequest, match="only the RTX edition builds for other GPUs"):
        recipe_for(library, gpu, "fp32", Batches(), targets=("8.6",))
