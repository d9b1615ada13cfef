"""What a release rests on: exact versions for every extra, licences that bind nobody, man page and completion."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from deploy.check.tools import REPOSITORY
from deploy.licences import Package, packages
from mien.cli import app
from mien.commands.manual import man_page

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
NEEDS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
MIEN = Path(sys.executable).with_name("mien")


def exact_versions() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = (re.match(r"([\w.-]+)==([^ ;]+)", line) for line in lines)
    return {canonicalize_name(match[1]): match[2] for match in pinned if match}


@pytest.mark.parametrize("extra", NEEDS)
def test_every_dependency_has_an_exact_version_within_its_range(extra: str) -> None:
    versions = exact_versions()
    for text in NEEDS[extra]:
        need = Requirement(text)
        if need.name != "mien":
            assert need.specifier.contains(versions[canonicalize_name(need.name)]), text


def test_no_address_stands_in_the_constraints() -> None:
    assert "://" not in (REPOSITORY / "constraints.txt").read_text()


def test_nothing_that_the_services_install_is_copyleft_by_its_metadata() -> None:
    every = packages(["kafka", "redis", "otlp", "gpu", "train"])
    assert {"numpy", "torch", "kafka-python", "redis"} <= {each.name for each in every}
    assert [each for each in every if each.is_copyleft] == []


@pytest.mark.parametrize(
    ("licence", "binds"),
    [
        ("GPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("MIT OR GPL-2.0", False),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False),
        ("Apache-2.0", False),
    ],
)
def test_copyleft_is_recognised(licence: str, binds: bool) -> None:
    assert Package("x", "1", licence).is_copyleft is binds


def test_the_man_page_names_every_command_and_option() -> None:
    page = "\n".join(man_page(get_command(app), "1.0")).replace("\\-", "-")
    for command in ("run", "ingest", "worker", "serve", "size", "install-service", "engine build", "stack up"):
        assert f".SS mien {command}" in page
    for option in ("--sample-hz", "--drain-s", "--cameras"):
        assert option in page


def test_man_formats_the_page_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("groff") is None and shutil.which("man") is None:
        pytest.skip("neither man nor groff is installed: apt-get install -y man-db")
    file = tmp_path / "mien.1"
    file.write_text("\n".join(man_page(get_command(app), "1.0")))
    done = subprocess.run(["man", "--warnings", "-l", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout


@pytest.mark.parametrize(
    ("words", "wanted"), [("mien wo", "worker"), ("mien size --ca", "--cameras"), ("mien eng", "engine")]
)
def test_bash_completes_commands_and_options(words: str, wanted: str) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_MIEN_COMPLETE": "complete_bash"}
    done = subprocess.run([MIEN], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert wanted in done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_names_the_program(shell: str) -> None:
    done = subprocess.run([MIEN, "completion", shell], capture_output=True, text=True, check=True)
    assert "_MIEN_COMPLETE" in done.stdout
