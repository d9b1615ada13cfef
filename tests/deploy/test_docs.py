"""docs/deploy.md: every block marked `sh` runs, those of the cluster against a real API server where one is built."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.check import control_plane
from deploy.check.tools import REPOSITORY, CheckFailed, Tools, tools
from tests.components import missing

DOCUMENT = (REPOSITORY / "docs" / "deploy.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
NEEDS_A_SERVER = re.compile(r"^kubectl (?!kustomize)", re.MULTILINE)


@pytest.fixture(scope="module")
def brought() -> Tools:
    try:
        return tools()
    except CheckFailed as error:
        missing(f"the tools of make check-deploy cannot be brought ({str(error).splitlines()[0]}): make check-deploy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a place that looks like the repository from where a reader stands; what blocks write stays in it."""
    (tmp_path / "deploy").symlink_to(REPOSITORY / "deploy")
    return tmp_path


def ran(block: str, folder: Path, brought: Tools, kubeconfig: str = os.devnull) -> None:
    path = os.pathsep.join([str(brought.kubectl.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-ceu", block],
        cwd=folder,
        env={**os.environ, "PATH": path, "KUBECONFIG": kubeconfig},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr


def test_there_are_blocks_of_both_kinds() -> None:
    assert len([block for block in BLOCKS if NEEDS_A_SERVER.search(block)]) >= 2
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", [block for block in BLOCKS if not NEEDS_A_SERVER.search(block)], ids=lambda b: b[:30])
def test_a_block_runs(block: str, folder: Path, brought: Tools) -> None:
    for tool in ("promtool", "docker-compose", "systemd-analyze"):
        if tool in block and subprocess.run(["which", tool], capture_output=True, check=False).returncode:
            missing(f"{tool} is not installed: make system")
    ran(block, folder, brought)


@pytest.fixture(scope="module")
def kubeconfig(brought: Tools) -> Iterator[str]:
    programs = control_plane.built()
    if programs is None:
        pytest.skip("no API server is built (minutes, once): make check-deploy ARGS=--build")
    with control_plane.running(programs, brought) as server:
        yield str(server.kubeconfig)


@pytest.mark.long
def test_the_blocks_of_the_cluster_run_in_their_order(folder: Path, brought: Tools, kubeconfig: str) -> None:
    for block in BLOCKS:
        if NEEDS_A_SERVER.search(block):
            ran(block, folder, brought, kubeconfig)


def test_links_and_names_of_files_lead_somewhere() -> None:
    pages = [REPOSITORY / "docs" / name for name in ("deploy.md", "sizing.md")]
    for page in (*pages, *(REPOSITORY / "deploy" / "runbooks").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
