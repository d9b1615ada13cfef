"""The table a person sees at the end of a run: who was seen, when, and with which expressions."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contract.labels import EXPRESSIONS, GapReason
from contract.readings import ChannelKind
from mien.timelines import SECOND_US, Timeline, seconds_since
from query.store import Session

# Okabe and Ito's colour-blind-safe palette, the same as the dashboard's.
COLOURS = dict(
    zip(
        EXPRESSIONS,
        ("#8c8c8c", "#e69f00", "#56b4e9", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#f0e442"),
        strict=True,
    )
)
LETTERS = {"neutral": "n", "happiness": "H", "surprise": "U", "sadness": "S", "anger": "A"} | {
    "disgust": "D",
    "fear": "F",
    "contempt": "C",
}
UNSEEN, NOT_LOOKED_AT = "·", "×"
MOST_PEOPLE = 40  # a table longer than a screen helps nobody; the files hold everyone


def print_report(
    console: Console, contents: Sequence[tuple[Session, list[Timeline]]], session_ids: bool = False
) -> None:
    """Print each video with a line per person, pictures in one table; with session ids, what `mien query` asks for."""
    colour = console.color_system is not None
    for is_picture, some in groupby(contents, key=lambda content: _is_picture(content[0])):
        if is_picture:
            console.print(_pictures(list(some), session_ids))
            continue
        for session, people in some:
            console.print(_session(session, people, session_ids, colour=colour, width=console.width))
    shown = [
        name for name in EXPRESSIONS if any((ChannelKind.EXPRESSION, name) in t.values for _, p in contents for t in p)
    ]
    if shown:
        timed = any(not _is_picture(session) for session, _ in contents)
        console.print(_legend(shown, colour, console.width) if timed else "")


def _is_picture(session: Session) -> bool:
    return session.closed and session.frames == 1


def _name(session: Session, with_id: bool) -> str:
    return f"{session.source}.{session.id}" if with_id else session.source


def _pictures(contents: Sequence[tuple[Session, list[Timeline]]], session_ids: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("picture", overflow="fold")
    table.add_column("person", no_wrap=True)
    table.add_column("on average" if len(contents) > 1 else "shows")
    for session, people in contents[:MOST_PEOPLE]:
        name = _name(session, session_ids)
        if not people:
            table.add_row(name, "", Text("no face was seen", "dim"))
        for index, timeline in enumerate(people):
            table.add_row("" if index else name, _short(timeline), _average(timeline, 2))
    left = len(contents) - MOST_PEOPLE
    rest = [Text(f"… and {left} more pictures", "dim")] if left > 0 else []
    return Group(Text(""), table, *rest)


def _session(
    session: Session, people: list[Timeline], session_ids: bool, *, colour: bool, width: int
) -> RenderableType:
    title = Text.assemble("\n", (_name(session, session_ids), "bold"), "  ", (_facts(session, people), "dim"))
    if not people:
        return Group(title, Text("  no face was seen"))
    named = 2 if width >= 110 else 1
    cells = max(12, min(60, width - 44 - 18 * named))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    table.add_column("person", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    table.add_column("frames", justify="right", no_wrap=True)
    length_s = _length_s(session, people)
    table.add_column(_scale(length_s, cells), no_wrap=True)
    table.add_column("on average", no_wrap=True)
    for timeline in people[:MOST_PEOPLE]:
        strip = _strip(session, timeline, length_s, cells, colour)
        table.add_row(_short(timeline), _seen(timeline), f"{len(timeline.points):,}", strip, _average(timeline, named))
    rest = [Text(f"… and {len(people) - MOST_PEOPLE} more people", "dim")] if len(people) > MOST_PEOPLE else []
    return Group(title, Padding(Group(table, *rest), (0, 0, 0, 2), expand=False))


def _scale(length_s: float, cells: int) -> str:
    """The header of the strip: its first and last second, and what it shows where there is room."""
    begin, end = "0", f"{length_s:.0f} s"
    meaning = "what shows most" if cells >= 28 else ""
    return begin + meaning.center(cells - len(begin) - len(end)) + end


def _facts(session: Session, people: list[Timeline]) -> str:
    facts = [
        f"{len(people)} {'person' if len(people) == 1 else 'people'}",
        f"{session.frames:,} frames",
        f"{_length_s(session, people):.1f} s",
    ]
    if not session.closed and not any(gap.reason == GapReason.INTERRUPTED for gap in session.gaps):
        facts.append("not finished")
    for gap in session.gaps:
        begin, end = seconds_since(session, gap.begin), seconds_since(session, gap.end)
        facts.append(f"not looked at {begin:.1f}–{end:.1f} s: {gap.reason.replace('_', ' ')}")
    return " · ".join(facts)


def _length_s(session: Session, people: list[Timeline]) -> float:
    ends = [seconds_since(session, gap.end) for gap in session.gaps]
    ends += [float(timeline.time_s[-1]) for timeline in people if len(timeline.time_s)]
    return max(0.001, seconds_since(session, session.complete_until or session.opened_at), *ends)


def _short(timeline: Timeline) -> str:
    """The person's id without the source and session, which stand above the table."""
    return timeline.person.id.rsplit(".", 1)[-1]


def _seen(timeline: Timeline) -> str:
    return f"{timeline.time_s[0]:.1f}–{timeline.time_s[-1]:.1f} s" if len(timeline.time_s) else "–"


def _strip(session: Session, timeline: Timeline, length_s: float, cells: int, colour: bool) -> Text:
    """One character per stretch of time: the expression with the highest mean, or why there is none."""
    expressions = timeline.of_kind(ChannelKind.EXPRESSION)
    where = np.minimum((timeline.time_s / length_s * cells).astype(int), cells - 1)
    until_s = _until_s(timeline, session.step / SECOND_US if session.step else length_s)
    text = Text()
    for cell in range(cells):
        middle = (cell + 0.5) / cells * length_s
        missed = any(
            seconds_since(session, gap.begin) <= middle < seconds_since(session, gap.end) for gap in session.gaps
        )
        here = where == cell
        if not here.any() and not missed:
            here = (timeline.time_s <= middle) & (middle < until_s)
        if here.any() and expressions:
            means = {name: float(np.nanmean(values[here])) for name, values in expressions.items()}
            top = max(means, key=means.__getitem__)
            text.append("█" if colour else LETTERS.get(top, "?"), COLOURS.get(top, ""))
        elif here.any():
            text.append("█" if colour else "#", "white")
        else:
            text.append(NOT_LOOKED_AT if missed else UNSEEN, "dim")
    return text


def _until_s(timeline: Timeline, step_s: float) -> NDArray[np.float64]:
    """Per reading the time up to which it speaks: the next one, or the next look, which did not find the face."""
    away_s = np.diff(timeline.time_s, append=np.inf)
    return timeline.time_s + np.where(away_s < 1.5 * step_s, away_s, step_s)  # frame times give or take half a step


def _average(timeline: Timeline, named: int) -> Text:
    means = {name: float(np.nanmean(v)) for name, v in timeline.of_kind(ChannelKind.EXPRESSION).items() if len(v)}
    top = sorted(means, key=means.__getitem__, reverse=True)[:named]
    parts = Text(" · ").join(
        Text(f"{name} {means[name]:.0%}", COLOURS.get(name, "")) for name in top if means[name] >= 0.05
    )
    units = {name: float(np.nanmean(v)) for name, v in timeline.of_kind(ChannelKind.ACTION_UNIT).items() if len(v)}
    for name in sorted(units, key=units.__getitem__, reverse=True)[:2]:
        if units[name] >= 0.5:
            parts.append(f" · {name} {units[name]:.0%}", "dim")
    return parts


def _legend(names: Sequence[str], colour: bool, width: int) -> RenderableType:
    """The marks in as many lines as they need; a mark and its name stay together."""
    lines = [Text()]
    for name in names:
        mark = Text.assemble("  ", ("█" if colour else LETTERS[name], COLOURS[name]), f" {name}")
        if lines[-1].cell_len + mark.cell_len > width:
            lines.append(Text())
        lines[-1].append_text(mark)
    empty = Text(f"  {UNSEEN} not seen  {NOT_LOOKED_AT} not looked at", "dim")
    return Group(Text(""), *lines, empty)
