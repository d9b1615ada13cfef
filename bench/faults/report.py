"""What the runs gave: a JSON line each, a table of the worst of each row."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.table import Table

HEAD = """# Faults

What is lost, doubled or wrong after each fault, on real Apache Kafka, real Redis and the real worker processes.
Made by `make faults` (`python -m bench.faults --out docs/faults.md`); do not edit by hand. How the numbers are found
is said in `bench/faults/oracle.py`; what they mean, and what the promise needs, in [delivery.md](delivery.md).

In the short form a worker's session lasts 6 s (the broker's least) and most outages 9 s; in the long form 10 s, 60 s.
"""

LONG_FORM = ", long form"
LEGEND = """
* Each run: synthetic sources whose every picture spells source, session, frame and face; a net that reads nothing
  else; everything between them is the product's own code. Afterwards every point in Redis is decoded and compared.
* **lost**: faces published and neither stored nor covered by a gap that says why. **dup**: stored more than once.
  **wrong**: stored where they do not belong, never published, or counted wrongly by a bucket or a person's row.
* **marked**: not read, and the timeline says so (a gap «rejected» or «dropped»).
* **recovery**: from the end of the fault to the first new commit on every partition it hit; for a killed worker, from
  its death. **drain**: until the lag is back to what it was. Worst run of the row, seconds.
* **refused**: commits answered fenced or stale, by the store's rule.
"""


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One run of one row."""

    row: int
    fault: str
    seed: int
    produced: int = 0
    committed: int = 0
    lost: int = 0
    dup: int = 0
    wrong: int = 0
    marked: int = 0
    fenced: int = 0
    stale: int = 0
    rejected: int = 0
    shed: int = 0
    recovery_s: float | None = None
    drain_s: float | None = None
    peak_rss_mib: float = 0.0
    run_s: float = 0.0
    passed: bool = False
    why: str = ""
    notes: str = ""


class Figures(msgspec.Struct, frozen=True):
    """All runs, with what they were made on."""

    machine: str
    date: str
    form: str
    runs: tuple[Run, ...]


def figures(runs: Iterable[Run], form: str) -> Figures:
    """The runs with this machine and the time in UTC."""
    return Figures(machine(), f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", form, tuple(runs))


def machine() -> str:
    """Processor, cores, memory and Python, in one line."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores shared with the servers, {kib >> 20} GiB, Python {platform.python_version()}"


def write_json(given: Figures, path: Path) -> None:
    """One line per run behind one line that says where and when."""
    head = {"machine": given.machine, "date": given.date, "form": given.form}
    lines = [msgspec.json.encode(head), *map(msgspec.json.encode, given.runs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")


def read_json(path: Path) -> Figures:
    """What `write_json` wrote."""
    head, *lines = path.read_bytes().splitlines()
    runs = tuple(msgspec.json.decode(line, type=Run) for line in lines)
    return msgspec.convert(msgspec.json.decode(head) | {"runs": runs}, Figures)


def page(given: Figures, about: Mapping[tuple[int, str], str]) -> str:
    """The Markdown page; `about` says what each fault (row, name) is."""
    rows = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    rows += ["| " + " | ".join(cells) + " |" for cells in map(_cells, by_row(given.runs))]
    failed = [f"* Row {run.row}, {run.fault}, seed {run.seed}: {run.why}" for run in given.runs if not run.passed]
    tail = ["\n## Runs that did not pass\n", *failed] if failed else []
    known = {(run.row, run.fault.removesuffix(LONG_FORM)) for run in given.runs}
    faults = [
        "\n## What each fault is\n",
        *(f"* {row}, {name}: {text}" for (row, name), text in about.items() if (row, name) in known),
    ]
    where = f"{given.form}; {given.machine}; {given.date}. Figures are the worst of each row's runs, not the mean.\n"
    return "\n".join([HEAD, where, *rows, LEGEND, ELSEWHERE, *tail, *faults]) + "\n"


ELSEWHERE = """Row 26 (a corrupt or foreign engine file) is held by `tests/models/engines/test_plans.py` and
`test_library.py`: a plan is checked against its manifest before any library sees it.
"""


def terminal(runs: Sequence[Run]) -> Table:
    """The same table for a screen."""
    table = Table(box=None, padding=(0, 2, 0, 0), title="faults", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("fault", "passed") else "right", no_wrap=True)
    for one in by_row(runs):
        style = None if all(run.passed for run in one) else "red"
        table.add_row(*_cells(one), style=style)
    return table


COLUMNS = (
    "row", "fault", "runs", "produced", "lost", "dup", "wrong", "marked", "refused",
    "recovery s", "drain s", "worker MiB", "passed",
)  # fmt: skip


def by_row(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs of each row and fault together, in the order of the rows."""
    groups: dict[tuple[int, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.row, run.fault), []).append(run)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _cells(runs: Sequence[Run]) -> list[str]:
    passed = sum(run.passed for run in runs)
    return [
        str(runs[0].row),
        runs[0].fault,
        str(len(runs)),
        f"{sum(run.produced for run in runs):,}",
        str(max(run.lost for run in runs)),
        str(max(run.dup for run in runs)),
        str(max(run.wrong for run in runs)),
        str(max(run.marked for run in runs)),
        str(max(run.fenced + run.stale for run in runs)),
        _worst([run.recovery_s for run in runs]),
        _worst([run.drain_s for run in runs]),
        f"{max(run.peak_rss_mib for run in runs):.0f}",
        "all" if passed == len(runs) else f"**{passed} of {len(runs)}**",
    ]


def _worst(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.2f}" if known else "–"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
