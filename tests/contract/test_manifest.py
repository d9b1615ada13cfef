"""The manifest: its key and its signature."""

import msgspec
import pytest

from contract.manifest import Batches, Manifest, Recipe, is_signed, plan_key, signed

RECIPE = Recipe("trt", "11.4.0.106", "fp16", Batches(1, 8, 32), ("8.9",), "NVIDIA Test")
MANIFEST = Manifest("dacl", "1", "a" * 64, "dacl.onnx", "dacl.plan", "b" * 64, 1000, RECIPE, "mien", 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"flavour": "rtx"},
        {"library_version": "11.4.0.107"},
        {"precision": "fp32"},
        {"batches": Batches(1, 8, 33)},
        {"compute_capabilities": ("8.9", "9.0")},
        {"gpu": "NVIDIA Other"},
        {"hardware_compatibility": "ampere_plus"},
        {"version_compatible": True},
    ],
)
def test_every_option_changes_the_key(change):
    assert plan_key("a" * 64, msgspec.structs.replace(RECIPE, **change)) != plan_key("a" * 64, RECIPE)


def test_another_onnx_changes_the_key():
    assert plan_key("b" * 64, RECIPE) != plan_key("a" * 64, RECIPE)


def test_a_signature_holds_for_its_key_and_its_content_only():
    good = signed(MANIFEST, b"key")

    assert is_signed(good, b"key")
    assert not is_signed(good, b"other")
    assert not is_signed(MANIFEST, b"key")
    assert not is_signed(msgspec.structs.replace(good, plan_sha256="c" * 64), b"key")


def test_a_site_without_a_key_asks_for_no_signature():
    assert is_signed(MANIFEST, b"")
    assert signed(signed(MANIFEST, b"key"), b"").signature == ""
