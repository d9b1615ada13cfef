"""The manifest of a plan: from what, by what and for what machine an engine file was made. JSON beside the plan.

An engine file is code. The manifest is read first, as data; the plan is only handed to its library when the manifest
fits this machine and names the hash of the very bytes handed over.
"""

import hashlib
import hmac
from pathlib import Path

import msgspec

from contract.errors import EngineDoesNotFit
from contract.model_card import Measurement


class Batches(msgspec.Struct, frozen=True):
    """The batch sizes of an optimisation profile."""

    least: int = 1
    best: int = 8
    most: int = 32


class Recipe(msgspec.Struct, frozen=True):
    """What a plan is asked to be; with the ONNX file and the library it decides every byte that matters."""

    flavour: str  # «trt» or «rtx»
    library_version: str
    precision: str  # of the ONNX: the network is strongly typed
    batches: Batches
    compute_capabilities: tuple[str, ...]  # «9.0»; what the plan runs on
    gpu: str  # name of the GPU that it was tuned on; empty: tuned on none
    hardware_compatibility: str = "none"  # «none», «same_compute_capability» or «ampere_plus»
    version_compatible: bool = False


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one plan."""

    net: str  # name of the model card
    net_version: str
    onnx_sha256: str
    onnx_file: str  # what to rebuild from, beside the card
    plan_file: str
    plan_sha256: str
    plan_bytes: int
    recipe: Recipe
    builder: str  # program and version that wrote the plan
    build_s: float
    accuracy: tuple[Measurement, ...] = ()  # against the reference, where it could be run
    not_measured: str = ""  # why the accuracy is missing
    signature: str = ""  # HMAC-SHA256 over all else, with the key of the site


def plan_key(onnx_sha256: str, recipe: Recipe) -> str:
    """Twelve hexadecimal digits that change with the ONNX, the library, the GPU and every option."""
    return hashlib.sha256(onnx_sha256.encode() + msgspec.json.encode(recipe)).hexdigest()[:12]


def read_manifest(path: Path) -> Manifest:
    """The manifest in a JSON file.

    Raises:
        EngineDoesNotFit: it is missing, is no manifest, or names a file outside its folder.
    """
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise EngineDoesNotFit(f"{path.name}: no readable manifest ({error})") from error
    for name in (manifest.plan_file, manifest.onnx_file):
        if Path(name).name != name or name in ("", ".", ".."):
            raise EngineDoesNotFit(f"{path.name}: {name!r} must be the name of a file in the same folder")
    return manifest


def signed(manifest: Manifest, key: bytes) -> Manifest:
    """The manifest with the site's signature; unsigned where the key is empty."""
    bare = msgspec.structs.replace(manifest, signature="")
    if not key:
        return bare
    digest = hmac.new(key, msgspec.json.encode(bare), hashlib.sha256).hexdigest()
    return msgspec.structs.replace(bare, signature=digest)


def is_signed(manifest: Manifest, key: bytes) -> bool:
    """Does the signature match the key? Always true where the site has no key."""
    return not key or hmac.compare_digest(manifest.signature, signed(manifest, key).signature)
