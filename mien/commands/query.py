"""`mien query`: who is in a stored file, and what a person's timeline says."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from contract.errors import BadRequest, NotFound
from contract.labels import ACTION_UNITS, EXPRESSIONS
from mien.report import print_report
from mien.timelines import EVER, timelines
from query.formats.text import csv
from query.http import bodies, replies
from query.http.times import event_time, parse_every, parse_time
from query.store import Person, Session, Snapshot
from query.store.choose import reader_of, shown
from query.tables import Column, Kind, Rows, channel_names, table_of, timeline_columns, timeline_table
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


def print_timeline(
    store: Path | str,
    person_id: str,
    *,
    begin: str | None,
    end: str | None,
    every: str | None,
    channels: str | None,
    shape: str,
) -> None:
    """Print a person's timeline as the API gives it.

    Raises:
        NotFound: no such person; says who is there.
        BadRequest: a time, length or channel that cannot be understood.
    """
    with _snapshot(store) as snapshot:
        person = _person(snapshot, store, person_id)
        session = snapshot.session(person.source, person.session)
        names = _channels(snapshot, person, channels) if channels else None
        wanted = Wanted(
            person=person.id,
            begin=_time(begin, session, "--from", person.first_time),
            end=_time(end, session, "--to", max(person.last_time + 1, session.complete_until or 0)),
            every=parse_every(every) if every else None,
            channels=names,
            limit=ALL_ROWS,
        )
        if wanted.begin >= wanted.end:
            raise BadRequest(f"--from {begin} is not before --to {end}; nothing lies between")
        page = read_page(snapshot, session, wanted)
        if shape == "json":
            _write(bodies.columnar(page, person, session, None, names) + b"\n")
        elif shape == "csv":
            heads = timeline_columns(page.every, channel_names(page.channels, names))
            _write(b"".join(csv(Rows(heads, [timeline_table(page, person, session, heads)]))))
        else:
            _print_table(page, person, session)


def _person(snapshot: Snapshot, store: Path | str, person_id: str) -> Person:
    try:
        return snapshot.person(person_id)
    except NotFound as error:
        raise NotFound(f"{error}; mien query {shown(store)} --format csv lists who is there") from error


def _channels(snapshot: Snapshot, person: Person, typed: str) -> tuple[str, ...]:
    """The names that were typed; one that no net knows is a slip, one that was not measured is an empty column."""
    measured = [c.name for schema in snapshot.schemas(person.id, -EVER, EVER).values() for c in schema.channels]
    names = tuple(name.strip() for name in typed.split(","))
    for name in names:
        if name not in {*measured, *EXPRESSIONS, *ACTION_UNITS}:
            raise BadRequest(f"no channel {name!r}; there are {', '.join(dict.fromkeys(measured))}")
    return names


def _time(text: str | None, session: Session, name: str, otherwise: int) -> int:
    return otherwise if text is None else event_time(parse_time(text, name), session.opened_at, session.dated, name)


def _print_table(page: Page, person: Person, session: Session) -> None:
    console = Console(highlight=False)
    console.print(person.id, style="bold", markup=False, soft_wrap=True)
    # One blank between the columns lets the eight expressions fit into 80.
    table = Table(box=None, padding=(0, 2 if console.width >= 100 else 1, 0, 0), header_style="dim")
    table.add_column("t, s", justify="right")
    table.add_column("n" if page.n is not None else "frame", justify="right")
    for channel in page.channels:
        table.add_column(channel.name, justify="right")
    counts = page.n if page.n is not None else page.frame
    assert counts is not None
    for row in range(min(len(page.event_time), TABLE_ROWS)):
        values = [f"{value:.3f}" if value == value else "" for value in page.values[row]]
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
