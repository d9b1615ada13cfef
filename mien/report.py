"""The table a person sees at the end of a run: who was seen, when, and with which expressions."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contract.labels import EXPRESSIONS, GapReason
from contract.readings import ChannelKind
from mien.output.contents import gaps_of, low_quality, name_of
from mien.timelines import SECOND_US, Block, Timeline, seconds_since
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
HEADS, GAP = ("person", "seen", "frames", "on average"), 2  # of a table; characters between its columns
MOST_GAPS = 3  # in a line; the files hold all
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
        name
        for name in EXPRESSIONS
        if any((ChannelKind.EXPRESSION, name) in t.channels for _, p in contents for t in p)
    ]
    if shown:
        timed = any(not _is_picture(session) for session, _ in contents)
        console.print(_legend(shown, colour, console.width) if timed else "")


def _is_picture(session: Session) -> bool:
    return session.closed and session.frames == 1


def _name(session: Session, with_id: bool) -> str:
    """What the user calls it; with the id before it, where people are asked for by that."""
    return f"{session.source}.{session.id}  {name_of(session)}" if with_id else name_of(session)


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
            table.add_row("" if index else name, _short(timeline), _average(timeline.whole(), 2))
    left = len(contents) - MOST_PEOPLE
    rest = [Text(f"… and {left} more pictures", "dim")] if left > 0 else []
    return Group(Text(""), table, *rest)


def _session(
    session: Session, people: list[Timeline], session_ids: bool, *, colour: bool, width: int
) -> RenderableType:
    title = Text.assemble("\n", (name_of(session), "bold"), "  ", (_facts(session, people), "dim"))
    if session_ids:
        title.append(f"\n  {session.source}.{session.id}", "dim")
    if not people:
        return Group(title, Text("  no face was seen"))
    rows = [_row(timeline, 2 if width >= 110 else 1) for timeline in people[:MOST_PEOPLE]]
    length_s = _length_s(session, people)
    taken = [max(len(HEADS[place]), *(_width(row[place]) for row in rows)) + GAP for place in range(len(HEADS))]
    cells = max(12, min(60, width - sum(taken) - GAP))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim", expand=False)
    table.add_column(HEADS[0], no_wrap=True)
    for head in HEADS[1:3]:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column(_scale(length_s, cells), no_wrap=True)
    table.add_column(HEADS[3])
    for timeline, (name, seen, frames, average) in zip(people, rows, strict=False):
        table.add_row(name, seen, frames, _strip(session, timeline.whole(), length_s, cells, colour), average)
    rest = [Text(f"… and {len(people) - MOST_PEOPLE} more people", "dim")] if len(people) > MOST_PEOPLE else []
    return Group(title, Padding(Group(table, *rest), (0, 0, 0, GAP), expand=False))


def _row(timeline: Timeline, named: int) -> tuple[str, str, str, Text]:
    """The person, when they were seen, in how many frames, and what they show on average."""
    block = timeline.whole()
    return _short(timeline), _seen(block), f"{len(block):,}", _average(block, named)


def _width(cell: str | Text) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)


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
    missed = [gap for gap in gaps_of(session) if gap.reason != GapReason.LOW_QUALITY]
    for gap in missed[:MOST_GAPS]:
        begin, end = seconds_since(session, gap.begin), seconds_since(session, gap.end)
        facts.append(f"not looked at {begin:.1f}–{end:.1f} s: {gap.reason.replace('_', ' ')}")
    if len(missed) > MOST_GAPS:
        facts.append(f"and {len(missed) - MOST_GAPS:,} more gaps")
    if left_out := low_quality(session):
        facts.append(f"{left_out:,} {'face' if left_out == 1 else 'faces'} of low quality left out")
    return " · ".join(facts)


def _length_s(session: Session, people: list[Timeline]) -> float:
    ends = [seconds_since(session, gap.end) for gap in session.gaps]
    ends += [seconds_since(session, timeline.person.last_time) for timeline in people]
    return max(0.001, seconds_since(session, session.complete_until or session.opened_at), *ends)


def _short(timeline: Timeline) -> str:
    """The person's id without the source and session, which stand above the table."""
    return timeline.person.id.rsplit(".", 1)[-1]


def _seen(block: Block) -> str:
    return f"{block.time_s[0]:.1f}–{block.time_s[-1]:.1f} s" if len(block) else "–"


def _strip(session: Session, block: Block, length_s: float, cells: int, colour: bool) -> Text:
    """One character per stretch of time: the expression with the highest mean, or why there is none."""
    expressions = block.of_kind(ChannelKind.EXPRESSION)
    where = np.minimum((block.time_s / length_s * cells).astype(int), cells - 1)
    until_s = _until_s(block.time_s, session.step / SECOND_US if session.step else length_s)
    text = Text()
    for cell in range(cells):
        middle = (cell + 0.5) / cells * length_s
        missed = any(
            seconds_since(session, gap.begin) <= middle < seconds_since(session, gap.end) for gap in session.missed
        )
        here = where == cell
        if not here.any() and not missed:
            here = (block.time_s <= middle) & (middle < until_s)
        if here.any() and expressions:
            means = {name: float(np.nanmean(values[here])) for name, values in expressions.items()}
            top = max(means, key=means.__getitem__)
            text.append("█" if colour else LETTERS.get(top, "?"), COLOURS.get(top, ""))
        elif here.any():
            text.append("█" if colour else "#", "white")
        else:
            text.append(NOT_LOOKED_AT if missed else UNSEEN, "dim")
    return text


def _until_s(time_s: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """Per reading the time up to which it counts: the next one, or the next look, which did not find the face."""
    away_s = np.diff(time_s, append=np.inf)
    return time_s + np.where(away_s < 1.5 * step_s, away_s, step_s)  # frame times give or take half a step


def _average(block: Block, named: int) -> Text:
    means = {name: float(np.nanmean(v)) for name, v in block.of_kind(ChannelKind.EXPRESSION).items() if len(v)}
    top = sorted(means, key=means.__getitem__, reverse=True)[:named]
    parts = Text(" · ").join(
        Text(f"{name} {means[name]:.0%}", COLOURS.get(name, "")) for name in top if means[name] >= 0.05
    )
    units = {name: float(np.nanmean(v)) for name, v in block.of_kind(ChannelKind.ACTION_UNIT).items() if len(v)}
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
