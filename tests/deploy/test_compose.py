"""compose.yaml: docker-compose takes it, and it agrees with the images, the topics and the command line."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from contract.topics import topics
from deploy.check.tools import REPOSITORY
from mien.cli import app
from tests.components import missing

FILE = REPOSITORY / "deploy" / "compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]


def composed(file: Path, profile: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("docker-compose")
    if tool is None:
        missing("docker-compose is not installed: apt-get install -y docker-compose")
    return subprocess.run(
        [tool, "-f", file, "--profile", profile, "config", "-q"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_compose_takes_the_file(profile: str) -> None:
    done = composed(FILE, profile)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_compose_would_find_a_typo(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(FILE.read_text().replace("stop_grace_period", "stop_grase_period"))
    assert composed(file, "cpu").returncode != 0


def test_either_profile_starts_one_kind_of_worker() -> None:
    for profile in ("cpu", "gpu"):
        started = {name for name, each in SERVICES.items() if profile in each.get("profiles", [profile])}
        assert {"kafka", "topics", "redis", "ingest", "query", "prometheus", "grafana", "collector"} <= started
        assert len(started & {"worker", "worker-gpu"}) == 1


def test_images_of_ours_have_a_dockerfile_and_all_others_a_version() -> None:
    for name, each in SERVICES.items():
        image, _, version = each["image"].rpartition(":")
        assert version, name
        assert version != "latest"
        if image.startswith("mien-"):
            assert (REPOSITORY / "deploy" / "images" / f"{image.removeprefix('mien-')}.Dockerfile").exists()
            assert each["read_only"]


def test_the_topics_are_those_of_the_contract() -> None:
    command = SERVICES["topics"]["command"][-1]
    for topic in topics():
        (line,) = (line for line in command.split(";") if f"--topic {topic.name} " in line)
        for key, value in topic.config.items():
            assert f"--config {key}={value}" in line
        assert f"--partitions {topic.partitions} " in line


@pytest.mark.parametrize(("service", "command"), [("worker", "worker"), ("worker-gpu", "worker"), ("query", "serve")])
def test_options_exist_in_the_command_line(service: str, command: str) -> None:
    known = {
        option
        for parameter in get_command(app).commands[command].params  # type: ignore[attr-defined]
        for option in parameter.opts
    }
    assert {word.partition("=")[0] for word in SERVICES[service]["command"]} <= known


def test_nothing_is_published_beyond_this_machine() -> None:
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_files_that_are_mounted_are_there() -> None:
    for each in SERVICES.values():
        for volume in each.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (FILE.parent / source).exists(), source


def test_prometheus_takes_its_configuration() -> None:
    tool = shutil.which("promtool")
    if tool is None:
        missing("promtool is not installed: apt-get install -y prometheus")
    done = subprocess.run(
        [tool, "check", "config", FILE.parent / "observability" / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
