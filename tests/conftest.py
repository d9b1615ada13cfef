"""What every test may ask for: the shared data, where it is at hand."""

import os
from collections import defaultdict
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of faces and videos; skips, saying so, where it is absent."""
    folder = Path(os.environ.get("MIEN_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set MIEN_DATA to the folder of faces and videos")
    return folder


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say at the end, in one block, what was skipped and the one line that brings it."""
    tests_by_reason: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        tests_by_reason[reason.removeprefix("Skipped: ")].append(report.nodeid)
    if not tests_by_reason:
        return
    terminalreporter.section("skipped, and what would run it", yellow=True)
    for reason, tests in tests_by_reason.items():
        terminalreporter.line(f"{len(tests):4} × {reason}")
    terminalreporter.line("System parts (Redis, Java, RTSP server, Chromium) come with one line: make system")
