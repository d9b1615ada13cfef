"""`mien query`: who is in a stored file, and what a person's timeline says."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from contract.errors import BadRequest, NotFound
from mien.report import print_report
from mien.timelines import timelines
from query.analysis.formula import parse_selection
from query.formats.text import csv
from query.http import bodies, replies
from query.http.times import event_time, parse_every, parse_time
from query.series import baseline_of
from query.store import Person, Session, Snapshot
from query.store.choose import reader_of, shown
from query.tables import Column, Kind, Rows, table_of, timeline_columns, timeline_table
from query.timeline import Page, Wanted, read_page

ALL_ROWS = 2**40
TABLE_ROWS = 60


def print_people(store: Path | str, shape: str) -> None:
    """Print sources and people: the table of a run, JSON as `/v1/sources` and `/v1/people` give it, or CSV."""
    with _snapshot(store) as snapshot:
        sessions = snapshot.sessions()
        if shape == "table":
            if not sessions:
                print(f"{shown(store)}: holds no source yet")
            contents = [(session, timelines(snapshot, session)) for session in sessions]
            print_report(Console(highlight=False), contents, session_ids=True)
            if first := next((people[0] for _, people in contents if people), None):
                print(f"one person's timeline: mien query {shown(store)} {first.person.id}")
            return
        by_key = {(session.source, session.id): session for session in sessions}
        people = [
            replies.person_row(person, by_key[person.source, person.session], f"/v1/people/{person.id}/picture")
            for person in snapshot.people(None, None)
            if (person.source, person.session) in by_key  # one of a newer session waits for the next question
        ]
        if shape == "json":
            answer = replies.source_rows(sessions, snapshot.headcounts()) | {"people": people}
            _write(orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        else:
            columns = ["id", "source", "session", "origin", "first", "last", "points"]
            heads = tuple(Column(name, Kind.TEXT) for name in columns)
            _write(b"".join(csv(Rows(heads, [table_of(heads, people)]))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of `mien query STORE PERSON`, as they were typed."""

    begin: str | None = None
    end: str | None = None
    every: str | None = None
    channels: str | None = None
    baseline: str | None = None


def print_timeline(store: Path | str, person_id: str, asked: Asked, shape: str) -> None:
    """Print a person's timeline as the API gives it.

    Raises:
        NotFound: no such person; says who is there.
        BadRequest: a time, length or channel that cannot be understood.
    """
    with _snapshot(store) as snapshot:
        person = _person(snapshot, store, person_id)
        session = snapshot.session(person.source, person.session)
        select = parse_selection(asked.channels or None)
        wanted = Wanted(
            person=person.id,
            begin=_time(asked.begin, session, "--from", person.first_time),
            end=_time(asked.end, session, "--to", max(person.last_time + 1, session.complete_until or 0)),
            every=parse_every(asked.every) if asked.every else None,
            select=select,
            limit=ALL_ROWS,
            baseline=baseline_of(snapshot, person, session, asked.baseline, select),
        )
        if wanted.begin >= wanted.end:
            raise BadRequest(f"--from {asked.begin} is not before --to {asked.end}; nothing lies between")
        page = read_page(snapshot, session, wanted)
        if shape == "json":
            _write(bodies.columnar(page, person, session, None, select.names) + b"\n")
        elif shape == "csv":
            heads = timeline_columns(page, select)
            _write(b"".join(csv(Rows(heads, [timeline_table(page, person, session, heads)]))))
        else:
            _print_table(page, person, session)


def _person(snapshot: Snapshot, store: Path | str, person_id: str) -> Person:
    try:
        return snapshot.person(person_id)
    except NotFound as error:
        raise NotFound(f"{error}; mien query {shown(store)} --format csv lists who is there") from error


def _time(text: str | None, session: Session, name: str, otherwise: int) -> int:
    return otherwise if text is None else event_time(parse_time(text, name), session.opened_at, session.dated, name)


def _print_table(page: Page, person: Person, session: Session) -> None:
    console = Console(highlight=False)
    console.print(person.id, style="bold", markup=False, soft_wrap=True)
    # One blank between the columns lets the eight expressions fit into 80.
    table = Table(box=None, padding=(0, 2 if console.width >= 100 else 1, 0, 0), header_style="dim")
    table.add_column("t, s", justify="right")
    table.add_column("n" if page.n is not None else "frame", justify="right")
    shown_values = page.columns()
    for name in shown_values:
        table.add_column(name, justify="right")
    counts = page.n if page.n is not None else page.frame
    assert counts is not None
    for row in range(min(len(page.event_time), TABLE_ROWS)):
        here = [column[row] for column in shown_values.values()]
        values = [f"{value:.3f}" if value == value else "" for value in here]
        why = page.why[row] if page.why else None
        cells = [f"[dim]{why}[/]", *values[1:]] if why and values else values
        table.add_row(f"{(page.event_time[row] - session.opened_at) / 1e6:.3f}", str(counts[row]), *cells)
    console.print(table)
    if len(page.event_time) > TABLE_ROWS:
        left = len(page.event_time) - TABLE_ROWS
        console.print(f"… and {left:,} more rows; --every 1s shortens it, --format csv prints them all", style="dim")


def _write(body: bytes) -> None:
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


@contextmanager
def _snapshot(store: Path | str) -> Iterator[Snapshot]:
    reader = reader_of(store)
    try:
        with reader.snapshot() as snapshot:
            yield snapshot
    finally:
        reader.close()
