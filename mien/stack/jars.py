"""The jars of Apache Kafka, brought by Maven once per machine."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from contract.errors import StackFailed

POM = Path(__file__).resolve().parents[2] / "deploy" / "local" / "pom.xml"
MAVEN_S = 600


def jars() -> Path:
    """The folder of the jars, shared by all stacks of a user; `bring_jars` fills it.

    Raises:
        StackFailed: there is no checkout, whose pom names the jars.
    """
    if not POM.is_file():
        raise StackFailed(f"{POM} is missing: `mien stack` needs a checkout of the repository")
    home = Path(os.environ.get("MIEN_JARS") or Path.home() / ".cache" / "mien" / "jars")
    return home / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]  # another list of jars is another folder


def bring_jars(say: Callable[[str], None] = lambda _: None) -> None:
    """See that the jars are there; Maven brings them if they are not.

    Raises:
        StackFailed: no pom, no Maven, or Maven failed.
    """
    folder = jars()
    if folder.is_dir():
        return
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two stacks at once bring them once
        if not folder.is_dir():
            say("Kafka's jars: Maven brings 46 files, 44 MB, once on this machine")
            _resolve(folder)


def _resolve(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise StackFailed("Kafka's jars are not here yet and Maven, which brings them, is not installed: make system")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        target = Path(scratch) / "lib"
        goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}")
        try:
            done = subprocess.run(
                [maven, "-q", "-B", "-f", str(POM), *goal], capture_output=True, text=True, timeout=MAVEN_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StackFailed(f"Maven has not brought Kafka's jars within {MAVEN_S} s") from error
        if done.returncode or not any(target.glob("kafka_*.jar")):
            raise StackFailed("Maven could not bring Kafka's jars; it says\n" + (done.stdout + done.stderr)[-1500:])
        target.rename(folder)
