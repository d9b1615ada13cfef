"""Whole studies as tables and files: what `mien.commands.study` runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as Screen

from contract.errors import BadRequest
from query.analysis.episodes import Rule
from query.analysis.formula import parse_selection
from query.analysis.responses import Window
from query.formats import FORMATS
from query.formats.annotations import ANNOTATIONS, Annotation, Recording
from query.http.times import parse_every
from query.store import Snapshot
from query.store.choose import reader_of
from query.study import Whom, episode_rows, response_rows, summary_rows, timeline_study
from query.study.keys import keys_of
from query.study.responses import parse_markers
from query.tables import Kind, Rows, Table
from runtime.files import whole_file

TABLE_ROWS, TABLE_COLUMNS = 60, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What the commands of a study share, as it was typed."""

    store: str
    source: str | None = None
    channels: str | None = None
    baseline: str | None = None
    keys: Path | None = None
    key_pattern: str | None = None
    out: Path | None = None


def summarise(study: Study, rule: Rule | None) -> None:
    """Give one row per person."""
    select, keys = parse_selection(study.channels), keys_of(study.keys, study.key_pattern)
    with _snapshot(study.store) as snapshot:
        give(summary_rows(snapshot, Whom(study.source), keys, select, rule, study.baseline), study.out)


def give_episodes(study: Study, rule: Rule) -> None:
    """Give the episodes of everybody; those of one recording for another tool where the ending of the file says so."""
    select, keys = parse_selection(study.channels), keys_of(study.keys, study.key_pattern)
    with _snapshot(study.store) as snapshot:
        rows = episode_rows(snapshot, Whom(study.source), keys, select, rule, study.baseline)
        if study.out is not None and (ending := _annotation_ending(study.out)):
            _write_annotations(snapshot, study.source, rows, study.out, ending)
        else:
            give(rows, study.out)


def give_responses(study: Study, markers: Path, window: str, step: float) -> None:
    """Give the mean response of everybody to the markers in a CSV.

    Raises:
        BadRequest: the markers cannot be read, or the window is none.
    """
    try:
        text = markers.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise BadRequest(f"{markers}: cannot be read ({error}); wanted a CSV in UTF-8") from error
    low, _, high = window.partition("..")
    try:
        span = Window(float(low), float(high), step)
    except ValueError as error:
        raise BadRequest(f"--window {window}: wanted FROM..TO in seconds, such as -1..5") from error
    select = parse_selection(study.channels)
    with _snapshot(study.store) as snapshot:
        give(response_rows(snapshot, Whom(study.source), parse_markers(text), select, span), study.out)


def export(study: Study, every: str | None) -> None:
    """Give the timelines of everybody."""
    length = None if every is None else parse_every(every)
    select, keys = parse_selection(study.channels), keys_of(study.keys, study.key_pattern)
    with _snapshot(study.store) as snapshot:
        give(timeline_study(snapshot, Whom(study.source), keys, select, length, study.baseline), study.out)


def give(rows: Rows, out: Path | None) -> None:
    """Write the rows to a file, whole or not at all, or print the first of them; name what was left out on stderr.

    Raises:
        BadRequest: the ending of the file says no format.
        BadOutput: the file cannot be written.
    """
    notes = Console(stderr=True, highlight=False)
    if out is None:
        _print(rows)
    else:
        form = FORMATS.get(out.suffix.lower().removeprefix("."))
        if form is None:
            raise BadRequest(f"{out}: the ending says the format; wanted {', '.join(f'.{name}' for name in FORMATS)}")
        with whole_file(out) as file:
            for piece in form.encode(rows):
                file.write(piece)
        notes.print(f"written: {out}", markup=False, soft_wrap=True)
    for line in rows.left_out:
        notes.print(f"left out: {line}", markup=False, soft_wrap=True)


def _print(rows: Rows) -> None:
    """Print the first rows: as a table on a terminal, as CSV into a pipe."""
    if not sys.stdout.isatty():
        for piece in FORMATS["csv"].encode(rows):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    console = Console(highlight=False)
    shown = [column for column in rows.columns if column.name != "session"][:TABLE_COLUMNS]
    screen = Screen(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in shown:
        screen.add_column(column.name, justify="left" if column.kind is Kind.TEXT else "right")
    count = 0
    for table in rows.tables:
        for line in _lines(table):
            count += 1
            if count <= TABLE_ROWS:
                screen.add_row(*(_cell(line[column.name]) for column in shown))
    console.print(screen)
    left = [f"{count - TABLE_ROWS:,} rows"] if count > TABLE_ROWS else []
    left += [f"{len(rows.columns) - len(shown)} columns"] if len(rows.columns) > len(shown) else []
    if left:
        console.print(f"… and {' and '.join(left)} more; --out FILE.csv writes all", style="dim")


def _lines(table: Table) -> Iterator[dict[str, object]]:
    names = [column.name for column in table.columns]
    return (dict(zip(names, line, strict=True)) for line in zip(*table.plain(), strict=True))


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _annotation_ending(out: Path) -> str | None:
    return next((ending for ending in ANNOTATIONS if out.name.lower().endswith(f".{ending.lower()}")), None)


def _write_annotations(snapshot: Snapshot, source: str | None, rows: Rows, out: Path, ending: str) -> None:
    """Write the episodes of one recording for another tool."""
    sessions = [each for each in snapshot.sessions() if source in (None, each.source)]
    if len(sessions) != 1:
        raise BadRequest(f"{out}: such a file is of one recording, and {len(sessions)} are there; wanted --source")
    (session,) = sessions
    found = [
        Annotation(f"{row['person']} · {row['channel']}", float(row["onset"]), float(row["offset"]), _label(row))  # type: ignore[arg-type]
        for table in rows.tables
        for row in _lines(table)
    ]
    length = ((session.complete_until or session.opened_at) - session.opened_at) / 1e6
    body = ANNOTATIONS[ending](Recording(session.uri or session.source, length, session.fps), found)
    with whole_file(out) as file:
        file.write(body.encode())
    Console(stderr=True, highlight=False).print(f"written: {out}", markup=False, soft_wrap=True)


def _label(row: dict[str, object]) -> str:
    return f"{row['channel']} {float(row['peak']):.2f}"  # type: ignore[arg-type]


@contextmanager
def _snapshot(store: str) -> Iterator[Snapshot]:
    reader = reader_of(store)
    try:
        with reader.snapshot() as snapshot:
            yield snapshot
    finally:
        reader.close()
