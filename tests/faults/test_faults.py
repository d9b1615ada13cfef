"""CI's selection of the fault matrix, one seed each; all of it: `make faults`, docs/faults.md."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.faults.report import Run
from bench.faults.rows import CASES
from bench.faults.setting import Case
from tests.components import require

SEED = 2
QUICK = [case for case in CASES if case.quick]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Run]:
    """All runs, by row and fault: made by one process, as clients whose broker dies leave sockets behind."""
    require("kafka")
    require("redis")
    lines = tmp_path_factory.mktemp("faults") / "runs.json"
    command = [sys.executable, "-m", "bench.faults", "--quick", "--seeds", "1", "--first", str(SEED)]
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run([*command, "--json", str(lines)], cwd=repository, capture_output=True, text=True, check=False)
    assert lines.exists(), done.stdout + done.stderr
    made = [msgspec.json.decode(line, type=Run) for line in lines.read_bytes().splitlines()[1:]]
    return {(run.row, run.fault): run for run in made}


@pytest.mark.integration
@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", QUICK, ids=lambda case: f"row{case.row}-{case.slug}")
def test_nothing_is_lost_doubled_or_wrong_after(case: Case, runs: dict[tuple[int, str], Run]) -> None:
    run = runs[case.name]
    assert run.passed, f"{run.why} ({run.notes})"
    assert (run.lost, run.dup, run.wrong) == (0, 0, 0)
    assert run.produced > 300  # faces: a run in which nothing happened shows nothing
