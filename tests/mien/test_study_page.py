"""Every command of docs/study.md, on the store that the page describes."""

import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.query.stores import SECOND, StoreFile, every_frame
from tests.query.test_studies import smiling

PAGE = (Path(__file__).parents[2] / "docs" / "study.md").read_text()
PORT = 8765


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    store = StoreFile(folder / "study.db")
    for source, rest in (("p01_funny", 0.05), ("p02_sad", 0.3)):
        store.session(source, complete_until=20 * SECOND, looked_at=500, uri=f"clips/{source}.mp4")
        store.person(f"{source}.s1.0", every_frame(500), smiling(rest), source=source)
    store.close()
    (folder / "keys.csv").write_text("source,condition\np01_funny,funny\np02_sad,sad\n")
    (folder / "markers.csv").write_text("t,marker\n5,joke\n12,joke\n")
    return folder


@pytest.fixture(scope="module")
def served(folder):
    server = subprocess.Popen([sys.executable, "-m", "mien", "serve", "study.db", "--port", "0"], cwd=folder, stdout=-1)
    assert server.stdout is not None
    line = server.stdout.readline().decode()
    yield line.partition("127.0.0.1:")[2].partition("/")[0]
    server.terminate()
    server.wait()
    server.stdout.close()


def consoles() -> list[tuple[str, str]]:
    """(command, what the page shows of its answer)"""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    return [
        (command, shown) for block in blocks for command, _, shown in (e.partition("\n") for e in block.split("$ ")[1:])
    ]


def run(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    words = shlex.split(command)
    return subprocess.run(
        [sys.executable, "-m", "mien", *words[1:]], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(("command", "shown"), [each for each in consoles() if each[0].startswith("mien")])
def test_a_command_prints_what_the_page_shows(folder, command, shown):
    done = run(command, folder)
    assert (done.returncode, done.stdout.strip()) == (0, shown.strip()), done.stderr


def test_an_address_answers_what_the_page_shows(served):
    for command, shown in [each for each in consoles() if each[0].startswith("curl")]:
        address = shlex.split(command)[-1].replace(f":{PORT}", f":{served}")
        try:
            with urllib.request.urlopen(f"http://{address}", timeout=30) as answer:
                body = answer.read().decode()
        except urllib.error.HTTPError as error:
            body = error.read().decode()
            error.close()
        assert body.strip() == shown.strip(), command


@pytest.mark.parametrize("command", re.findall(r"^    (mien (?!run|serve).*)$", PAGE, re.MULTILINE))
def test_a_command_writes_its_file(folder, command):
    done = run(command, folder)
    out = folder / shlex.split(command)[shlex.split(command).index("--out") + 1]
    assert (done.returncode, done.stderr.strip()) == (0, f"written: {out.name}")
    assert out.stat().st_size > 100
