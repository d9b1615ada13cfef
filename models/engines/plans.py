"""The folder of plans: which one may be trusted, which is missing, and making it anew from its ONNX."""

import contextlib
import hashlib
import os
import platform
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contract.errors import BadOutput, EngineDoesNotFit
from contract.manifest import (
    Batches,
    Manifest,
    Recipe,
    is_signed,
    plan_key,
    read_manifest,
    signed,
)
from contract.model_card import Measurement, ModelCard, weights_of
from models.engines.building import Watch, build_plan
from models.engines.cuda import Gpu
from models.engines.library import Library
from runtime.files import write_whole

SUFFIX = ".plan.json"
RELATIVE = "largest difference of a logit over the largest logit"
DIFFERENCE = {"fp32": 0.01, "fp16": 0.05, "int8": 0.15, "fp8": 0.15}
"""Largest such difference of a plan that may serve: kernels add in another order, and eight bits round elsewhere."""

_AMPERE = (8, 0)


@dataclass(frozen=True, slots=True)
class Trusted:
    """A plan whose bytes are those that its manifest describes, for this machine."""

    manifest: Manifest
    body: bytes


Measure = Callable[[Trusted], tuple[Measurement, ...]]
"""Runs a plan against its ONNX."""


def plans_folder() -> Path:
    """Where plans lie unless told otherwise: `MIEN_PLANS`, else the user's cache."""
    return Path(os.environ.get("MIEN_PLANS") or Path.home() / ".cache" / "mien" / "plans")


def site_key() -> bytes:
    """The key that signs manifests: the bytes of the file named by `MIEN_PLAN_KEY_FILE`; empty without one.

    Raises:
        EngineDoesNotFit: the file is named but cannot be read, or is empty.
    """
    path = os.environ.get("MIEN_PLAN_KEY_FILE")
    if not path:
        return b""
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        raise EngineDoesNotFit(f"{path}: the key of the plans cannot be read ({error.strerror})") from error
    if not key:
        raise EngineDoesNotFit(f"{path}: the key of the plans is empty")
    return key


def manifests(folder: Path) -> Iterator[Path]:
    """The manifest files of a folder, by name."""
    return iter(sorted(folder.glob(f"*{SUFFIX}")))


def trusted_plan(path: Path, card: ModelCard, library: Library, gpu: Gpu | None) -> Trusted:
    """The plan of a manifest file, when it is the card's, fits this machine and is unharmed.

    The plan is opened once; the bytes that are hashed are the bytes that are returned.

    Raises:
        EngineDoesNotFit: anything else; the message says what was seen and what was wanted.
    """
    manifest = read_manifest(path)
    if not is_signed(manifest, site_key()):
        raise EngineDoesNotFit(f"{path.name}: not signed with the key of this site")
    if reason := foreign(manifest, card) or misfit(manifest.recipe, library, gpu):
        raise EngineDoesNotFit(f"{path.name}: {reason}")
    return Trusted(manifest, plan_body(path.parent, manifest))


def foreign(manifest: Manifest, card: ModelCard) -> str:
    """Why the plan is not one of this card's net; empty when it is."""
    if manifest.net != card.name:
        return f"it is a plan of {manifest.net}, wanted {card.name}"
    if manifest.onnx_sha256 != card.sha256:
        return f"it was built from ONNX {manifest.onnx_sha256[:12]}…, the card says {card.sha256[:12]}…"
    if manifest.recipe.precision != card.precision:
        return f"it is {manifest.recipe.precision}, the card says {card.precision}"
    return ""


def misfit(recipe: Recipe, library: Library, gpu: Gpu | None) -> str:
    """Why a plan of this recipe does not run on this machine; empty when it does. Without a GPU only versions count."""
    if recipe.flavour != library.flavour:
        return f"it is for the flavour «{recipe.flavour}», wanted «{library.flavour}»"
    if recipe.library_version != library.version and not _newer_minor(recipe, library.version):
        return f"it was built by version {recipe.library_version}, this machine has {library.version}"
    if gpu is None:
        return ""
    if gpu.compute_capability not in recipe.compute_capabilities:
        ampere = recipe.hardware_compatibility == "ampere_plus" and _number(gpu.compute_capability) >= _AMPERE
        if not ampere:
            wanted = ", ".join(recipe.compute_capabilities)
            return f"it is for compute capability {wanted}, this GPU has {gpu.compute_capability}"
    if recipe.gpu and recipe.gpu != gpu.name and recipe.hardware_compatibility == "none":
        return f"it was tuned on {recipe.gpu}, this GPU is {gpu.name}"
    return ""


def _newer_minor(recipe: Recipe, version: str) -> bool:
    built, here = _number(recipe.library_version), _number(version)
    return recipe.version_compatible and built[0] == here[0] and built <= here


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def plan_body(folder: Path, manifest: Manifest) -> bytes:
    """The bytes of the plan, read through one handle and checked against the manifest.

    Raises:
        EngineDoesNotFit: missing, a link, writable by anyone, of another size, or with another hash.
    """
    path = folder / manifest.plan_file
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise EngineDoesNotFit(f"{path.name}: cannot be opened as a plain file ({error.strerror})") from error
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_mode & stat.S_IWOTH:
            raise EngineDoesNotFit(f"{path.name}: wanted a plain file that not everyone may write")
        if state.st_size != manifest.plan_bytes:
            raise EngineDoesNotFit(f"{path.name}: {state.st_size:,} bytes, its manifest says {manifest.plan_bytes:,}")
        body = file.read(manifest.plan_bytes + 1)
    seen = hashlib.sha256(body).hexdigest()
    if seen != manifest.plan_sha256:
        raise EngineDoesNotFit(f"{path.name}: sha256 {seen[:12]}… is not {manifest.plan_sha256[:12]}… as it should be")
    return body


def find_plan(folder: Path, card: ModelCard, library: Library, gpu: Gpu | None) -> tuple[Trusted | None, list[str]]:
    """The first trusted plan of the card, and why each of its other plans before it was refused."""
    refused: list[str] = []
    for path in _manifests_of(folder, card):
        try:
            return trusted_plan(path, card, library, gpu), refused
        except EngineDoesNotFit as error:
            refused.append(str(error))
    return None, refused


def wanted_batches(folder: Path, card: ModelCard) -> Batches:
    """The batch sizes that were asked for when a plan of the card was built here, so that a rebuilt one replaces it."""
    for path in _manifests_of(folder, card):
        try:
            manifest = read_manifest(path)
        except EngineDoesNotFit:
            continue
        if manifest.net == card.name:
            return manifest.recipe.batches
    return Batches()


def _manifests_of(folder: Path, card: ModelCard) -> Iterator[Path]:
    name = re.compile(rf"{re.escape(card.name)}\.[0-9a-f]{{12}}{re.escape(SUFFIX)}")
    return (path for path in manifests(folder) if name.fullmatch(path.name))


def make_plan(
    folder: Path,
    card: ModelCard,
    weights: Path,
    library: Library,
    gpu: Gpu | None,
    recipe: Recipe,
    watch: Watch | None = None,
    measure: Measure | None = None,
) -> tuple[Trusted, bool]:
    """The card's plan of this recipe, and whether it lay there already.

    Args:
        folder: of the plans; the plan, its manifest and the timing cache are written there, whole or not at all.
        card: what to build; its file is checked against its hash.
        weights: the folder of the card's file.
        library: the builder.
        gpu: the one at hand.
        recipe: what the plan shall be; with the ONNX it names the file.
        watch: see `build_plan`.
        measure: runs the plan against the reference, where it can be run.

    Raises:
        BadModel: the ONNX is not the card's, or cannot be built.
        BadOutput: the folder cannot be written.
    """
    stem = f"{card.name}.{plan_key(card.sha256, recipe)}"
    try:
        found = trusted_plan(folder / f"{stem}{SUFFIX}", card, library, gpu)
        if found.manifest.recipe == recipe:  # the name is a hint, not a proof
            return found, True
    except EngineDoesNotFit:
        pass  # missing or harmed: build it
    begun = time.perf_counter()
    timings = _timing_file(folder, recipe)
    body, after = build_plan(library, weights_of(card, weights), recipe, _read_timings(timings), watch)
    manifest = Manifest(
        net=card.name,
        net_version=card.version,
        onnx_sha256=card.sha256,
        onnx_file=card.file,
        plan_file=f"{stem}.plan",
        plan_sha256=hashlib.sha256(body).hexdigest(),
        plan_bytes=len(body),
        recipe=recipe,
        builder=f"mien, Python {platform.python_version()} on {platform.system()} {platform.machine()}",
        build_s=round(time.perf_counter() - begun, 3),
        not_measured="" if gpu is not None and measure is not None else "it was not run where it was built",
    )
    if gpu is not None and measure is not None:
        manifest = msgspec.structs.replace(manifest, accuracy=measure(Trusted(manifest, body)))
    manifest = signed(manifest, site_key())
    write_whole(folder / manifest.plan_file, body)
    write_manifest(manifest, folder / f"{stem}{SUFFIX}")  # last: without it the plan does not exist
    if after:
        write_whole(timings, hashlib.sha256(after).digest() + after)
    return Trusted(manifest, body), False


def measured_plan(folder: Path, plan: Trusted, measure: Measure) -> Trusted:
    """Return the plan with its accuracy in the manifest, measured here where it was not yet.

    Args:
        folder: of the plans; where it cannot be written, the accuracy is known to this process alone.
        plan: trusted.
        measure: runs the plan against its ONNX.

    Raises:
        EngineDoesNotFit: the plan answers otherwise than its ONNX.
    """
    manifest = plan.manifest
    if not manifest.accuracy:
        manifest = msgspec.structs.replace(manifest, accuracy=measure(plan), not_measured="")
        manifest = signed(manifest, site_key())
        with contextlib.suppress(BadOutput):
            write_manifest(manifest, folder / f"{Path(manifest.plan_file).stem}{SUFFIX}")
    limit = DIFFERENCE[manifest.recipe.precision]
    for number in manifest.accuracy:
        if number.name == RELATIVE and not number.value <= limit:
            raise EngineDoesNotFit(
                f"{manifest.plan_file}: a logit is off by {number.value:.2%} of the largest, wanted at most {limit:.0%}"
            )
    return Trusted(manifest, plan.body)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write indented JSON, whole or not at all.

    Raises:
        BadOutput: the folder cannot be written, or the disk is full.
    """
    write_whole(path, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def _timing_file(folder: Path, recipe: Recipe) -> Path:
    """Return the timing cache of this library version and card: times of one card say nothing of another."""
    card = re.sub(r"[^A-Za-z0-9]+", "_", recipe.gpu) or "_".join(recipe.compute_capabilities)
    return folder / f"timing.{recipe.flavour}.{recipe.library_version}.{card}.cache"


def _read_timings(path: Path) -> bytes:
    """The timing cache without its hash; empty when it is missing or damaged."""
    try:
        body = path.read_bytes()
    except OSError:
        return b""
    return body[32:] if hashlib.sha256(body[32:]).digest() == body[:32] else b""
