"""Whatever the bytes, the answer is frames and holes, or one line; within 20 s and 512 MiB, and no process dies.

Six mutants of each format by default; `pytest -m long tests/ingest/test_fuzz.py` reads 200 of each. The
worst that people made are built by `tests/ingest/worst.py`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ingest.mutants import STILLS, VIDEOS, outcome, peak_mib
from tests.ingest.worst import WORST

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MIB = 20.0, 512


def read_mutants(name: str, count: int, seed: int) -> None:
    """Read mutants in a process of their own; a crash or a hang there is a failure here."""
    command = [sys.executable, "-m", "tests.ingest.mutants", name, str(count), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 + SECONDS * count, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + count, f"ended by {done.returncode} at mutant {len(lines) - 1}: {done.stderr[-2000:]}"
    assert lines[0].endswith(" frames")
    for line in lines[1:]:
        _, took, peak, _ = line.split(" ", 3)
        assert float(took) < SECONDS, line
        assert int(peak) < MIB, line


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", [*VIDEOS, *STILLS])
def test_no_mutant_crashes_hangs_or_eats_memory(name: str) -> None:
    read_mutants(name, 6, seed=len(name))


@pytest.mark.long
@pytest.mark.timeout(4200)
@pytest.mark.parametrize("name", [*VIDEOS, *STILLS])
def test_none_of_200_mutants_crashes_hangs_or_eats_memory(name: str) -> None:
    read_mutants(name, 200, seed=100 + len(name))


@pytest.mark.parametrize("name", WORST)
def test_the_worst_files_take_little(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WORST[name]())
    assert path.stat().st_size < 1 << 20
    peak_mib()
    before = peak_mib()  # what the tests before this one have left in the process

    outcome(path)

    assert peak_mib() - before < MIB
