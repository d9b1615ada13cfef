"""CI's selection of the fault matrix, one seed each; all of it: `make faults`, docs/faults.md."""

from pathlib import Path

import pytest

from bench.faults.rows import CASES
from bench.faults.setting import Case, Setting, Stacks

QUICK = sorted((case for case in CASES if case.quick), key=lambda case: case.servers)


@pytest.mark.integration
@pytest.mark.parametrize("case", QUICK, ids=lambda case: f"row{case.row}-{case.slug}")
def test_nothing_is_lost_doubled_or_wrong_after(case: Case, stacks: Stacks, tmp_path: Path) -> None:
    run = case.run(Setting(case.row, long=False, stacks=stacks, folder=tmp_path / case.slug), case)
    assert run.passed, f"{run.why} ({run.notes})"
    assert run.produced > 300  # faces: a run in which nothing happened shows nothing
    assert (run.lost, run.dup, run.wrong) == (0, 0, 0)
