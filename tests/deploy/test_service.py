"""Units that `mien install-service` prints: systemd itself reads them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.errors import BadRequest
from mien.cli import app
from mien.commands.service import Service, unit
from tests.components import missing


def verified(text: str, name: str, folder: Path) -> str:
    """Return what systemd has against a unit."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        missing("systemd-analyze is not installed: apt-get install -y systemd")
    file = folder / name
    file.write_text(text)
    done = subprocess.run([tool, "verify", "--man=no", file], capture_output=True, text=True, check=False)
    return "".join(line + "\n" for line in done.stderr.splitlines() if name in line)


@pytest.mark.parametrize("service", Service)
def test_systemd_takes_every_unit(service: Service, tmp_path: Path) -> None:
    program = tmp_path / "mien"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit(service, ["rtsp://camera/a b?x=100%25&$y", "--sample-hz", "5"], user="root", program=program)
    assert verified(text, f"mien-{service}.service", tmp_path) == ""


def test_systemd_would_find_a_wrong_line(tmp_path: Path) -> None:
    text = unit(Service.WORKER, [], user="root", program=Path("/bin/true"))
    assert "Restrat" in verified(text.replace("Restart=always", "Restrat=always"), "mien-worker.service", tmp_path)


def test_words_reach_the_program_as_they_were_given(tmp_path: Path) -> None:
    words = ["a b", "100%", "$HOME", 'say "x"', "back\\slash", "", "--sample-hz=5"]
    text = unit(Service.INGEST, words, program=Path("/opt/mien/bin/mien"))
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    assert line == (
        r'ExecStart=/opt/mien/bin/mien ingest "a b" "100%%" "$$HOME" "say \"x\"" "back\\slash" "" --sample-hz=5'
    )


@pytest.mark.parametrize("harm", ["a\nExecStartPost=/bin/sh", "a\tb", "\x7f"])
def test_no_word_can_write_another_line(harm: str) -> None:
    with pytest.raises(BadRequest, match="control character"):
        unit(Service.INGEST, [harm])


@pytest.mark.parametrize(("option", "value"), [("user", "root\nUser=x"), ("user", "A"), ("memory", "much")])
def test_what_systemd_would_not_take_is_refused(option: str, value: str) -> None:
    with pytest.raises(BadRequest, match=f"--{option}"):
        unit(Service.WORKER, [], **{option: value})  # type: ignore[arg-type]


def test_the_command_prints_a_unit() -> None:
    done = CliRunner().invoke(app, ["install-service", "ingest", "--user", "film", "--", "rtsp://camera/1"])
    assert done.exit_code == 0, done.output
    assert "User=film" in done.output
    assert "ingest rtsp://camera/1" in done.output
