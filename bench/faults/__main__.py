"""`python -m bench.faults`: inject faults into real Kafka, Redis and workers; say what was lost, doubled or wrong."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import redis
import typer
from kafka.errors import KafkaError
from rich.console import Console

from bench.faults.facts import RunFailed
from bench.faults.report import LONG_FORM, Run, figures, page, read_json, terminal, write_json
from bench.faults.rows import cases
from bench.faults.setting import Case, Setting, Stacks
from contract.errors import MienError

SHORT_SEEDS = 3


def main(
    rows: Annotated[str, typer.Option(help="Numbers of rows, by commas; all without it.")] = "",
    seeds: Annotated[
        int, typer.Option(help=r"Runs of each case.  \[default: 3, with --long 20]", min=0, show_default=False)
    ] = 0,
    long: Annotated[bool, typer.Option("--long", help="Outages of 60 s and more instead of seconds.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only the cases that CI runs.")] = False,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write a JSON line per run here.")] = None,
    add: Annotated[
        list[Path] | None, typer.Option(help="Show the runs of this JSON too; a long form is made in pieces.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the logs of all runs, not only of those that failed.")
    ] = False,
) -> None:
    """Run the cases; exit code 1 where a run has not passed."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    chosen = [case for case in cases({int(row) for row in rows.split(",") if row}) if case.quick or not quick]
    folder = Path(tempfile.mkdtemp(prefix="mien-faults-"))
    runs: list[Run] = []
    began = time.monotonic()
    with Stacks(folder / "stacks") as stacks:
        if quick:
            stacks.of(replica=True)  # serves every quick case: one start instead of two
        for case in by_stack(chosen):
            for seed in range(first, first + (seeds or (case.long_seeds if long else SHORT_SEEDS))):
                run = one(case, Setting(seed, long, stacks, folder / f"row{case.row}-{case.slug}-{seed}"))
                console.print(line(run), style=None if run.passed else "red", markup=False, soft_wrap=True)
                runs.append(run)
    form = f"{'long' if long else 'short'} form, {len(runs)} runs in {(time.monotonic() - began) / 60:.0f} min"
    before = [read_json(path) for path in add or ()]
    form = "; ".join([*(f"{each.form}, {each.date}" for each in before), *([form] if runs else [])])
    runs = [run for each in before for run in each.runs] + runs
    given = figures(runs, form)
    console.print(terminal(runs))
    if json is not None:
        write_json(given, json)
    if out is not None:
        out.write_text(page(given, {case.name: case.about for case in cases(set())}))
    failed = [run for run in runs if not run.passed]
    if failed or keep:
        console.print(f"logs: {folder}")
    else:
        shutil.rmtree(folder)
    raise typer.Exit(bool(failed))


def one(case: Case, setting: Setting) -> Run:
    """The run, also where it did not come to an end."""
    began = time.monotonic()
    try:
        run = case.run(setting, case)
        return msgspec.structs.replace(run, fault=f"{run.fault}{LONG_FORM}") if setting.long else run
    except (RunFailed, MienError, OSError, redis.RedisError, KafkaError) as error:
        why = f"{type(error).__name__}: {error}"[:1500]
        return Run(row=case.row, fault=case.fault, seed=setting.seed, run_s=round(time.monotonic() - began, 1), why=why)


def by_stack(chosen: Iterable[Case]) -> list[Case]:
    """Cases that share servers one after the other."""
    return sorted(chosen, key=lambda case: (case.servers, case.row))


def line(run: Run) -> str:
    """One run, on one line."""
    times = f"recovery {run.recovery_s if run.recovery_s is not None else '–'} s, drain {run.drain_s or '–'} s"
    counts = f"{run.produced} published, lost {run.lost}, dup {run.dup}, wrong {run.wrong}, marked {run.marked}"
    verdict = "passed" if run.passed else f"FAILED: {run.why}"
    return f"{run.row:3} {run.fault}, seed {run.seed}: {verdict}; {counts}; {times}; {run.run_s:.0f} s. {run.notes}"


if __name__ == "__main__":
    typer.run(main)
