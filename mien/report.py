"""The table a person sees at the end of a run: who was seen, when, and with which expressions."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contract.labels import EXPRESSIONS
from contract.readings import ChannelKind
from mien.timelines import Timeline, seconds_since
from query.reader import Session

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


def print_report(console: Console, contents: Sequence[tuple[Session, list[Timeline]]]) -> None:
    """Print each session with a line per person."""
    for session, people in contents:
        console.print(_session(session, people, colour=console.color_system is not None, width=console.width))
    shown = [
        name for name in EXPRESSIONS if any((ChannelKind.EXPRESSION, name) in t.values for _, p in contents for t in p)
    ]
    if shown:
        console.print(_legend(shown, colour=console.color_system is not None))


def _session(session: Session, people: list[Timeline], colour: bool, width: int) -> RenderableType:
    title = Text.assemble("\n", (session.source, "bold"), "  ", (_facts(session, people), "dim"))
    if not people:
        return Group(title, Padding(Text("no face was seen"), (0, 2)))
    named = 2 if width >= 110 else 1
    cells = max(12, min(60, width - 44 - 18 * named))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    table.add_column("person", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    table.add_column("frames", justify="right", no_wrap=True)
    length_s = _length_s(session, people)
    if session.frames > 1:
        table.add_column(_scale(length_s, cells), no_wrap=True)
    table.add_column("on average", no_wrap=True)
    for timeline in people[:MOST_PEOPLE]:
        strip = [_strip(session, timeline, length_s, cells, colour)] if session.frames > 1 else []
        table.add_row(_short(timeline), _seen(timeline), f"{len(timeline.points):,}", *strip, _average(timeline, named))
    rest = [Text(f"… and {len(people) - MOST_PEOPLE} more people", "dim")] if len(people) > MOST_PEOPLE else []
    return Group(title, Padding(Group(table, *rest), (0, 2)))


def _scale(length_s: float, cells: int) -> str:
    """The header of the strip: its first and last second, and what it shows where there is room."""
    begin, end = "0", f"{length_s:.0f} s"
    meaning = "what shows most" if cells >= 28 else ""
    return begin + meaning.center(cells - len(begin) - len(end)) + end


def _facts(session: Session, people: list[Timeline]) -> str:
    facts = [f"{len(people)} {'person' if len(people) == 1 else 'people'}"]
    if session.frames > 1:
        facts += [f"{session.frames:,} frames", f"{_length_s(session, people):.1f} s"]
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
    text = Text()
    for cell in range(cells):
        here = where == cell
        if here.any() and expressions:
            means = {name: float(np.nanmean(values[here])) for name, values in expressions.items()}
            top = max(means, key=means.__getitem__)
            text.append("█" if colour else LETTERS.get(top, "?"), COLOURS.get(top, ""))
        elif here.any():
            text.append("█" if colour else "#", "white")
        else:
            middle = (cell + 0.5) / cells * length_s
            missed = any(
                seconds_since(session, gap.begin) <= middle < seconds_since(session, gap.end) for gap in session.gaps
            )
            text.append(NOT_LOOKED_AT if missed else UNSEEN, "dim")
    return text


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


def _legend(names: Sequence[str], colour: bool) -> RenderableType:
    marks = [Text.assemble(("█" if colour else LETTERS[name], COLOURS[name]), f" {name}") for name in names]
    empty = Text(f"{UNSEEN} not seen  {NOT_LOOKED_AT} not looked at", "dim")
    return Padding(Group(Text("  ").join(marks), empty), (1, 2, 0, 2))
