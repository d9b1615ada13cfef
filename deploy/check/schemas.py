"""Validates manifests against the schemas of Kubernetes and of custom resources: no unknown field, no wrong type."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.check.rendering import Manifest
from deploy.check.tools import CRDS, CheckFailed, Tools, run

MINORS = ("1.35", "1.36", "1.37")  # the last three
_CUSTOM = """
import json, sys, jsonschema
for name, schema, document in json.load(sys.stdin):
    for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
        print(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
"""


def problems(tools: Tools, documents: Sequence[Manifest]) -> list[str]:
    """Return what the schemas refuse; one line each."""
    own = [each for each in documents if kind_of(each) not in custom_schemas()]
    custom = [each for each in documents if kind_of(each) in custom_schemas()]
    return [*_of_kubernetes(tools, own), *_of_custom(tools, custom)]


def kind_of(document: Manifest) -> tuple[str, str]:
    """Return apiVersion and kind."""
    return document["apiVersion"], document["kind"]


def custom_schemas() -> dict[tuple[str, str], Any]:
    """Return the strict schemas of the custom resources, by apiVersion and kind."""
    found = {}
    for file in sorted(CRDS.glob("*.json")):
        spec = json.loads(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = _strict(schema, root=True)
    return found


def _strict(schema: Any, *, root: bool = False) -> Any:
    """Return JSON Schema of OpenAPI's: unknown fields are refused as a strict API server does it."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    named = schema.get("properties") if isinstance(schema.get("type"), str) else None
    made = {
        key: {name: _strict(each) for name, each in named.items()} if named and key == "properties" else _strict(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes") and key != "format"
    }
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if named:
        if root:
            made["properties"]["metadata"] = {"type": "object"}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
            made["additionalProperties"] = False
    return made


def _of_custom(tools: Tools, documents: Iterable[Manifest]) -> list[str]:
    known = custom_schemas()
    asked = [(_name(each), known[kind_of(each)], each) for each in documents]
    return run([tools.python, "-c", _CUSTOM], stdin=json.dumps(asked)).splitlines() if asked else []


def _of_kubernetes(tools: Tools, documents: Sequence[Manifest]) -> list[str]:
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "manifests.yaml")
        file.write_text(yaml.safe_dump_all(documents))
        for minor in MINORS:
            try:
                printed = run([tools.kubernetes_validate, "-k", minor, "--strict", file])
            except CheckFailed as error:
                printed = str(error)
            lines = (line.replace(str(file), "") for line in printed.splitlines() if not line.startswith("INFO"))
            found += [f"Kubernetes {minor}: {line}" for line in lines]
    return found


def _name(document: Manifest) -> str:
    return f"{document['kind']} {document['metadata']['name']}"
