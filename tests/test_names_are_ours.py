"""`models`, `worker` and `train` are generic names: a foreign package of the same name must not win (decision 0001)."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "name", ["contract", "runtime", "models", "ingest", "worker", "query", "train", "mien", "bench"]
)
def test_each_package_is_the_one_in_this_repository(name: str) -> None:
    spec = find_spec(name)

    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(REPOSITORY)


@pytest.mark.parametrize(
    "name", ["contract", "ingest.pipeline", "worker.pipeline", "query.app", "mien.cli", "mien.run"]
)
def test_nothing_that_a_run_needs_imports_torch(name: str) -> None:
    heavy = "[m for m in sys.modules if m.split('.')[0] in {'torch', 'onnx', 'matplotlib', 'scipy', 'pandas'}]"

    seen = subprocess.run(
        [sys.executable, "-c", f"import sys, {name}; print({heavy})"], capture_output=True, text=True, check=True
    )

    assert seen.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["ingest.faces.detect", "models.engines.onnx", "train.ship.quantise", "mien.run"])
def test_onnx_runtime_reports_to_nobody(name: str) -> None:
    """Its telemetry must be off before the library is loaded, so an importer watches the moment."""
    watch = (
        "import builtins, os, sys; real = builtins.__import__\n"
        "def seen(name, *rest, **more):\n"
        "    if name.split('.')[0] == 'onnxruntime' and 'onnxruntime' not in sys.modules:\n"
        "        print('off' if os.environ.get('ORT_DISABLE_TELEMETRY') == '1' else 'ON')\n"
        "    return real(name, *rest, **more)\n"
        f"builtins.__import__ = seen\nimport {name}\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}

    said = subprocess.run(
        [sys.executable, "-c", watch], capture_output=True, text=True, check=True, env=environment, cwd=REPOSITORY
    ).stdout.split()

    assert said
    assert set(said) == {"off"}
