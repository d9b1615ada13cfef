"""Images cannot be built here; what they are made of can be read, linted and run."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.components import missing
from worker.store.sqlite import SqliteStore

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "deploy" / "images"
IMAGES = ("ingest", "worker-cpu", "worker-gpu", "query", "train")
CLEAN = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}


def dockerfile(image: str) -> str:
    return (FOLDER / f"{image}.Dockerfile").read_text()


def lines(text: str, word: str) -> list[str]:
    return re.findall(rf"^{word} +(.*)$", text.replace("\\\n", " "), re.MULTILINE)


def test_there_is_one_file_per_image() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.Dockerfile")) == sorted(f"{name}.Dockerfile" for name in IMAGES)


@pytest.mark.parametrize("image", IMAGES)
def test_bases_come_by_digest_and_the_user_is_a_number_other_than_root(image: str) -> None:
    text = dockerfile(image)
    stages = lines(text, "FROM")
    assert len(stages) == 2
    assert all(stage.split()[0].endswith("@${PYTHON_DIGEST}") for stage in stages)
    assert "PYTHON_DIGEST" in lines(text, "ARG")  # without a default
    user = lines(text, "USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@pytest.mark.parametrize("image", IMAGES)
def test_the_file_installs_its_own_image_by_the_tested_script(image: str) -> None:
    assert any(f"./install.sh {image} /opt/mien dist/*.whl" in line for line in lines(dockerfile(image), "RUN"))


@pytest.mark.parametrize("image", [name for name in IMAGES if name != "train"])
def test_services_have_a_health_check_on_the_port_that_they_show(image: str) -> None:
    text = dockerfile(image)
    (check,) = lines(text, "HEALTHCHECK")
    assert f"http://127.0.0.1:{lines(text, 'EXPOSE')[0]}/healthz" in check


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_finds_nothing(image: str) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        missing("hadolint is not installed: make setup")
    found = subprocess.run([hadolint, FOLDER / f"{image}.Dockerfile"], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert found.returncode == 0


def test_hadolint_would_find_a_base_without_a_version(tmp_path: Path) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        missing("hadolint is not installed: make setup")
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python\nRUN pip install numpy\n")
    assert subprocess.run([hadolint, file], capture_output=True, check=False).returncode != 0


def test_an_unknown_image_is_refused() -> None:
    done = subprocess.run([FOLDER / "install.sh", "wroker", "/nowhere", "x.whl"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no image wroker" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([_uv(), "build", "-q", "--wheel", "-o", folder, REPOSITORY], check=True, timeout=240)
    (made,) = folder.glob("*.whl")
    return made


def _uv() -> str:
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        missing("uv is not installed: make setup")
    return found


def installed(image: str, wheel: Path, prefix: Path) -> Path:
    """Run an image's install steps here; return the folder of its programs."""
    environment = {**os.environ, "UV": _uv(), "PYTHON": sys.executable}
    done = subprocess.run(
        [FOLDER / "install.sh", image, prefix, wheel], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return prefix / "bin"


def packages(programs: Path) -> set[str]:
    folder = next((programs.parent / "lib").glob("python3.*/site-packages"))
    return {path.name.partition("-")[0].lower() for path in folder.glob("*.dist-info")}


@pytest.mark.long
def test_the_query_image_serves_without_decoders_and_nets(wheel: Path, tmp_path: Path) -> None:
    programs = installed("query", wheel, tmp_path / "image")
    assert packages(programs).isdisjoint({"torch", "av", "onnxruntime", "opencv_python_headless", "matplotlib"})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = tmp_path / "store.db"
    SqliteStore(store).close()
    server = subprocess.Popen([programs / "python", "-m", "query", store, "--port", str(port)], cwd=tmp_path, env=CLEAN)
    try:
        assert _answers(f"http://127.0.0.1:{port}/healthz", server) == 200
        assert "<title" in httpx.get(f"http://127.0.0.1:{port}/", timeout=10).text
    finally:
        server.terminate()
        server.wait(20)


def _answers(url: str, server: subprocess.Popen[bytes]) -> int:
    """Return the status, once there is an answer."""
    for _ in range(300):
        assert server.poll() is None, "the server ended"
        try:
            return int(httpx.get(url, timeout=5).status_code)
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


@pytest.mark.long
def test_the_worker_image_analyses_a_clip_outside_the_repository_and_holds_no_torch(
    wheel: Path, tmp_path: Path
) -> None:
    programs = installed("worker-cpu", wheel, tmp_path / "image")
    assert "torch" not in packages(programs)
    assert {"kafka_python", "redis", "onnxruntime"} <= packages(programs)
    for arguments in (["demo", "clip.mp4"], ["run", "clip.mp4", "--no-serve", "--out", "clip.json"], ["worker", "-h"]):
        done = subprocess.run(
            [programs / "mien", *arguments], cwd=tmp_path, env=CLEAN, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
    assert "happiness" in (tmp_path / "clip.json").read_text()


def test_building_names_the_base_by_its_digest_and_every_image_by_its_version(tmp_path: Path) -> None:
    """An engine that only writes down what it is asked for stands in for docker, which no test machine has."""
    engine = tmp_path / "engine"
    engine.write_text(
        f'#!/bin/sh\nif [ "$1" = buildx ]; then echo sha256:abc; else echo "$@" >> {tmp_path}/asked; fi\n'
    )
    engine.chmod(0o755)
    copied = tmp_path / "repository"
    (copied / "deploy").mkdir(parents=True)
    shutil.copytree(FOLDER, copied / "deploy" / "images")
    script = copied / "deploy" / "images" / "build.sh"
    environment = {**CLEAN, "ENGINE": str(engine)}
    done = subprocess.run([script, "all"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "0 wheels in dist/" in done.stderr
    (copied / "dist").mkdir()
    (copied / "dist" / "mien-1.2.3-py3-none-any.whl").touch()
    subprocess.run([script, "all"], env=environment, check=True, stdout=subprocess.DEVNULL)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split()[-2] for line in asked] == [f"mien-{image}:1.2.3" for image in IMAGES]
    assert all("--build-arg PYTHON_DIGEST=sha256:abc" in line for line in asked)
    subprocess.run(
        [script, "cpu"], env={**environment, "REGISTRY": "r.example/m"}, check=True, stdout=subprocess.DEVNULL
    )
    assert (tmp_path / "asked").read_text().splitlines()[-1].split()[-2] == "r.example/m/query:1.2.3"
