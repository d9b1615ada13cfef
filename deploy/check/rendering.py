"""What can be rendered: every overlay, every pool of every product, every component."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from os.path import relpath
from pathlib import Path
from typing import Any

import yaml

from deploy.check.tools import KUBERNETES, Tools, cache, run

Manifest = dict[str, Any]  # one document
PRODUCTS = ("a10", "l4", "h100", "mig-1g", "shared")
KAFKA = ("kafka-access", "strimzi")  # of a whole, one of them or none; a pool has other components
COMPONENTS = ("redis-replica", "network-policy", "prometheus")  # of a whole


@dataclass(frozen=True, slots=True)
class Case:
    """Something that kustomize can render."""

    name: str
    kustomization: (
        Manifest | Path
    )  # a folder, or what would stand in one; paths in it are relative to deploy/kubernetes

    def render(self, tools: Tools) -> list[Manifest]:
        """Return the documents.

        Raises:
            CheckFailed: kustomize refused it.
        """
        if isinstance(self.kustomization, Path):
            return _documents(run([tools.kubectl, "kustomize", self.kustomization]))
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache()) as scratch:
            here = dict(self.kustomization)
            for field in ("resources", "components"):
                here[field] = [relpath(KUBERNETES / each, scratch) for each in here.get(field, [])]
            Path(scratch, "kustomization.yaml").write_text(yaml.safe_dump(here))
            return _documents(run([tools.kubectl, "kustomize", scratch]))


def cases() -> Iterator[Case]:
    """Yield every overlay, every product with each choice of its components, the base with each choice of the rest."""
    for folder in sorted((KUBERNETES / "overlays").iterdir()):
        yield Case(f"overlays/{folder.name}", folder)
    for name, engines, keda in product(PRODUCTS, (None, "engine-build"), (None, "keda")):
        # Engines come before the product, which gives their Job its node; KEDA comes after it.
        named = [("components", engines), ("pools", name), ("components", keda)]
        parts = [f"{folder}/{part}" for folder, part in named if part]
        title = "pools/" + "+".join(part.partition("/")[2] for part in parts)
        yield Case(title, _whole(resources=["pools/base"], components=parts, nameSuffix=f"-{name}"))
    yield Case("pools/cpu+keda", _whole(resources=["pools/base"], components=["components/keda"], nameSuffix="-cpu"))
    for chosen in product([None, *KAFKA], *([None, each] for each in COMPONENTS)):
        picked = [each for each in chosen if each]
        name = "+".join(["base", *picked])
        yield Case(name, _whole(resources=["base", "pools/base"], components=[f"components/{each}" for each in picked]))


def _whole(**fields: Any) -> Manifest:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "mien", **fields}


def _documents(text: str) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(text) if each]
