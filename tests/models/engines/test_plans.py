"""An engine file is code: it reaches `deserialize_cuda_engine` only when manifest, machine and bytes agree."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contract.errors import EngineDoesNotFit
from contract.manifest import Batches, read_manifest
from contract.model_card import Measurement
from models.engines.building import recipe_for
from models.engines.plans import (
    RELATIVE,
    SUFFIX,
    Trusted,
    make_plan,
    measured_plan,
    plan_body,
    trusted_plan,
    write_manifest,
)
from models.engines.tensorrt import open_tensorrt


@pytest.fixture
def plans(tmp_path) -> Path:
    return tmp_path / "plans"


@pytest.fixture
def built(exported, second_card, plans, library, gpu):
    """Plans of two nets; the card and the manifest's path of the first."""
    card, folder = exported
    for each in (card, second_card):
        make_plan(plans, each, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches(1, 2, 4)))
    (path,) = plans.glob(f"small.*{SUFFIX}")
    return card, path


def refuse(built, library, gpu, fakes, reason: str) -> None:
    """The plan is refused for this reason, nothing is deserialised, and the engine is rebuilt from its ONNX."""
    card, path = built
    with pytest.raises(EngineDoesNotFit, match=reason):
        trusted_plan(path, card, library, gpu)
    assert fakes.FakeRuntime.given == []


def rebuilds(built, exported, plans, library, gpu, fakes, crops) -> str:
    """The remark of an engine opened over a bad plan; only the fresh plan has been deserialised."""
    card, folder = exported
    engine = open_tensorrt(card, folder, plans, library, gpu)
    assert fakes.FakeRuntime.given == [(folder / card.file).read_bytes()]
    assert np.isfinite(engine(crops)["logits"]).all()
    return engine.remark


def plan_of(path: Path) -> Path:
    return path.parent / read_manifest(path).plan_file


def test_a_good_plan_is_deserialised_once_and_says_nothing(built, exported, plans, library, gpu, fakes):
    card, folder = exported

    engine = open_tensorrt(card, folder, plans, library, gpu)

    assert fakes.FakeRuntime.given == [plan_of(built[1]).read_bytes()]
    assert engine.remark == ""


@pytest.mark.parametrize("place", range(64))
def test_a_flipped_byte_anywhere_is_refused(built, library, gpu, fakes, place):
    plan = plan_of(built[1])
    body = bytearray(plan.read_bytes())
    body[place * (len(body) - 1) // 63] ^= 0x10
    plan.write_bytes(body)

    refuse(built, library, gpu, fakes, "sha256 .* as it should be")


@pytest.mark.parametrize("kept", [0, 1, 0.5, -1])
def test_a_truncated_plan_is_refused_and_rebuilt(built, exported, plans, library, gpu, fakes, crops, kept):
    plan = plan_of(built[1])
    body = plan.read_bytes()
    plan.write_bytes(body[: int(kept * len(body)) if kept == 0.5 else kept])

    refuse(built, library, gpu, fakes, "bytes, its manifest says")
    assert "bytes, its manifest says" in rebuilds(built, exported, plans, library, gpu, fakes, crops)
    assert plan.read_bytes() == body  # made anew


def test_swapped_plans_of_two_nets_are_refused(built, plans, library, gpu, fakes):
    other = next(plans.glob("other.*.plan"))
    mine, theirs = plan_of(built[1]).read_bytes(), other.read_bytes()
    plan_of(built[1]).write_bytes(theirs)
    other.write_bytes(mine)

    refuse(built, library, gpu, fakes, "sha256|bytes")


def test_swapped_plans_with_their_manifests_are_refused(built, exported, plans, library, gpu, fakes, crops):
    theirs = next(plans.glob(f"other.*{SUFFIX}"))
    built[1].write_bytes(theirs.read_bytes())

    refuse(built, library, gpu, fakes, "it is a plan of other, wanted small")
    assert "plan of other" in rebuilds(built, exported, plans, library, gpu, fakes, crops)


CHANGES = [
    ({"compute_capabilities": ["8.6"]}, "for compute capability 8.6, this GPU has 8.9"),
    ({"library_version": "11.3.0.1"}, "built by version 11.3.0.1, this machine has 11.4.0.106"),
    ({"library_version": "10.9.0.1", "version_compatible": True}, "built by version 10.9.0.1"),  # another major
    ({"library_version": "11.9.0.1", "version_compatible": True}, "built by version 11.9.0.1"),  # a newer one
    ({"flavour": "rtx"}, "flavour «rtx», wanted «trt»"),
    ({"gpu": "NVIDIA Other"}, "tuned on NVIDIA Other, this GPU is NVIDIA Test 1"),
    ({"precision": "fp16"}, "it is fp16, the card says fp32"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_manifest_of_another_machine_or_version_is_refused(built, library, gpu, fakes, change, reason):
    fields = json.loads(built[1].read_text())
    fields["recipe"] |= change
    built[1].write_text(json.dumps(fields))

    refuse(built, library, gpu, fakes, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"onnx_sha256": "0" * 64}, "built from ONNX 000000000000"),
        ({"plan_sha256": "0" * 64}, "is not 000000000000"),
        ({"plan_bytes": 10}, "bytes, its manifest says 10"),
        ({"plan_file": "../small.plan"}, "must be the name of a file in the same folder"),
        ({"plan_file": "/etc/passwd"}, "must be the name of a file in the same folder"),
        ({"onnx_file": ".."}, "must be the name of a file in the same folder"),
        ({"plan_bytes": "many"}, "no readable manifest"),
    ],
)
def test_a_manifest_that_does_not_describe_the_plan_is_refused(built, library, gpu, fakes, change, reason):
    built[1].write_text(json.dumps(json.loads(built[1].read_text()) | change))

    refuse(built, library, gpu, fakes, reason)


def test_a_manifest_that_is_no_json_is_refused_and_the_plan_rebuilt(built, exported, plans, library, gpu, fakes, crops):
    built[1].write_bytes(b"\x80\x04pickle")

    refuse(built, library, gpu, fakes, "no readable manifest")
    assert "no readable manifest" in rebuilds(built, exported, plans, library, gpu, fakes, crops)


def test_an_ampere_plan_runs_on_a_later_gpu_but_not_on_an_earlier_one(built, library, fakes):
    fields = json.loads(built[1].read_text())
    fields["recipe"] |= {"compute_capabilities": ["8.0"], "hardware_compatibility": "ampere_plus"}
    built[1].write_text(json.dumps(fields))

    trusted_plan(built[1], built[0], library, fakes.HostGpu("NVIDIA Later", "12.0"))
    refuse(built, library, fakes.HostGpu("NVIDIA Earlier", "7.5"), fakes, "this GPU has 7.5")


def test_a_link_in_place_of_the_plan_is_refused(built, tmp_path, library, gpu, fakes):
    plan = plan_of(built[1])
    elsewhere = tmp_path / "elsewhere.plan"
    plan.rename(elsewhere)
    plan.symlink_to(elsewhere)

    refuse(built, library, gpu, fakes, "cannot be opened as a plain file")


def test_a_plan_that_everyone_may_write_is_refused(built, library, gpu, fakes):
    plan_of(built[1]).chmod(0o666)

    refuse(built, library, gpu, fakes, "not everyone may write")


def test_the_bytes_that_were_hashed_are_the_bytes_that_run(built, exported, plans, library, gpu, fakes, monkeypatch):
    """The file changes between the check and its use: the one buffer that was hashed is what is deserialised."""
    card, folder = exported
    plan = plan_of(built[1])
    good = plan.read_bytes()
    opened = []
    real_open = os.open

    def open_then_swap(path, flags, *rest, **named):
        handle = real_open(path, flags, *rest, **named)
        if Path(path) == plan:
            opened.append(path)
            plan.unlink()
            plan.write_bytes(b"evil" * 1000)
        return handle

    monkeypatch.setattr(os, "open", open_then_swap)

    open_tensorrt(card, folder, plans, library, gpu)

    assert len(opened) == 1
    assert fakes.FakeRuntime.given == [good]


def test_with_a_site_key_only_signed_manifests_are_trusted(
    built, exported, plans, library, gpu, fakes, tmp_path, monkeypatch
):
    card, folder = exported
    key = tmp_path / "key"
    key.write_bytes(b"of this site\n")
    monkeypatch.setenv("MIEN_PLAN_KEY_FILE", str(key))

    refuse(built, library, gpu, fakes, "not signed with the key of this site")

    recipe = recipe_for(library, gpu, "fp32", Batches(1, 2, 4))
    make_plan(plans, card, folder, library, gpu, recipe)  # signs
    assert trusted_plan(built[1], card, library, gpu).manifest.signature
    forged = msgspec.structs.replace(read_manifest(built[1]), plan_sha256="1" * 64)
    write_manifest(forged, built[1])
    refuse(built, library, gpu, fakes, "not signed with the key of this site")


def test_a_key_file_that_is_missing_or_empty_trusts_nothing(built, library, gpu, fakes, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_PLAN_KEY_FILE", str(tmp_path / "none"))
    refuse(built, library, gpu, fakes, "key of the plans cannot be read")

    (tmp_path / "none").touch()
    refuse(built, library, gpu, fakes, "key of the plans is empty")


def test_the_same_build_again_is_found(built, exported, plans, library, gpu, monkeypatch):
    card, folder = exported
    monkeypatch.setattr("models.engines.plans.build_plan", lambda *_: pytest.fail("built again"))

    plan, found = make_plan(plans, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches(1, 2, 4)))

    assert found
    assert plan.manifest == read_manifest(built[1])


def test_other_batches_are_another_plan(built, exported, plans, library, gpu):
    card, folder = exported

    _, found = make_plan(plans, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches(1, 2, 8)))

    assert not found
    assert len(list(plans.glob("small.*.plan"))) == 2


def test_a_build_that_fails_leaves_nothing(exported, plans, library, gpu, monkeypatch):
    card, folder = exported

    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("models.engines.plans.build_plan", fail)

    with pytest.raises(RuntimeError):
        make_plan(plans, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches(1, 2, 4)))
    assert not plans.exists() or list(plans.iterdir()) == []


def test_a_damaged_timing_cache_is_left_out(built, exported, plans, library, gpu, monkeypatch):
    card, folder = exported
    given = []
    monkeypatch.setattr(
        "models.engines.plans.build_plan",
        lambda lib, body, recipe, timings, watch: (given.append(timings) or body, b"t2"),
    )
    (cache,) = plans.glob("timing.*")
    make_plan(plans, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches(1, 2, 5)))
    cache.write_bytes(cache.read_bytes()[:-1] + b"!")
    make_plan(plans, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches(1, 2, 6)))

    assert given == [b"t", b""]


def test_a_plan_says_what_it_is(built, library):
    manifest = read_manifest(built[1])

    assert plan_body(built[1].parent, manifest)
    assert (manifest.net, manifest.recipe.flavour, manifest.recipe.library_version) == ("small", "trt", library.version)
    assert manifest.not_measured == "it was not run where it was built"


def numbers(relative: float) -> tuple[Measurement, ...]:
    return (Measurement(RELATIVE, relative, "16 crops", "pytest"),)


def test_a_plan_is_measured_once_and_its_manifest_says_so(built, exported, plans, library, gpu):
    plan = trusted_plan(built[1], exported[0], library, gpu)
    calls: list[Trusted] = []

    def measure(given: Trusted) -> tuple[Measurement, ...]:
        calls.append(given)
        return numbers(0.001)

    seen = measured_plan(plans, plan, measure)
    again = measured_plan(plans, trusted_plan(built[1], exported[0], library, gpu), measure)

    assert len(calls) == 1
    assert seen.manifest == again.manifest == read_manifest(built[1])
    assert (seen.manifest.accuracy, seen.manifest.not_measured) == (numbers(0.001), "")


@pytest.mark.parametrize("relative", [0.02, float("nan"), float("inf")])
def test_a_plan_that_answers_otherwise_than_its_onnx_does_not_serve(built, exported, plans, library, gpu, relative):
    plan = trusted_plan(built[1], exported[0], library, gpu)

    with pytest.raises(EngineDoesNotFit, match=r"a logit is off by .* of the largest, wanted at most 1%"):
        measured_plan(plans, plan, lambda _: numbers(relative))


def test_where_manifests_cannot_be_written_the_accuracy_is_known_to_the_process(built, exported, plans, library, gpu):
    plan = trusted_plan(built[1], exported[0], library, gpu)
    (nowhere := plans / "file").touch()

    assert measured_plan(nowhere, plan, lambda _: numbers(0.0)).manifest.accuracy == numbers(0.0)


def test_each_card_has_its_own_times(exported, tmp_path, library, monkeypatch, fakes):
    card, folder = exported
    for name in ("NVIDIA H100 80GB HBM3", "NVIDIA H200"):
        gpu = fakes.HostGpu(name, "9.0")
        make_plan(tmp_path, card, folder, library, gpu, recipe_for(library, gpu, "fp32", Batches(1, 2, 4)))

    assert sorted(each.name for each in tmp_path.glob("timing.*")) == [
        "timing.trt.11.4.0.106.NVIDIA_H100_80GB_HBM3.cache",
        "timing.trt.11.4.0.106.NVIDIA_H200.cache",
    ]
