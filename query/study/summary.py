"""One row per person: when they were seen, and what they showed; one per session in which nobody was."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from contract.labels import EXPRESSIONS
from query.analysis.episodes import Rule, episodes
from query.analysis.formula import Selection
from query.analysis.summary import shown
from query.series import Series, read_series
from query.store import Session, Snapshot
from query.study.keys import Keys
from query.study.people import Whom, channel_columns, people_of, rest_of, share_columns
from query.tables import Column, Kind, Rows, Table, table_of

_FIXED = (
    Column("first", Kind.NUMBER, "seconds since the first frame"),
    Column("last", Kind.NUMBER, "seconds since the first frame"),
    Column("readings", Kind.INTEGER),
    Column("session_s", Kind.NUMBER, "s"),
    Column("seen_s", Kind.NUMBER, "s; readings times the step between frames that were looked at"),
    Column("gap_s", Kind.NUMBER, "s not looked at"),
    Column("transitions_per_min", Kind.NUMBER, "changes of the highest expression per minute seen"),
)


def summary_rows(
    snapshot: Snapshot,
    whom: Whom,
    keys: Keys,
    select: Selection,
    rule: Rule | None = None,
    baseline: str | None = None,
) -> Rows:
    """Return a row per person: mean_ and peak_ of each value, top_ the share in which an expression was the highest.

    Args:
        snapshot: where they are.
        whom: whose rows.
        keys: what every row carries besides.
        select: channels and formulas.
        rule: of episodes, whose number, total and rate per minute stand in episodes_, episode_s_ and per_min_.
        baseline: as `query.series.baseline_of` takes it. top_ is of the values as they were read.
    """
    columns = (*keys.columns, *_FIXED, *_value_columns(channel_columns(snapshot, whom, select), rule is not None))
    left_out: list[str] = []

    def tables() -> Iterator[Table]:
        met = set()
        for session, person in people_of(snapshot, whom):
            met.add((session.source, session.id))
            rest = rest_of(snapshot, person, session, baseline, select, left_out)
            series = read_series(snapshot, person, session, select, baseline=rest)
            faces = read_series(snapshot, person, session, Selection(EXPRESSIONS))
            yield table_of(columns, [_head(session, keys) | _row(series, faces, rule)])
        empty = (each for each in _sessions_of(snapshot, whom) if (each.source, each.id) not in met)
        yield table_of(columns, [_head(each, keys) | {"readings": 0} for each in empty])

    settings = {"baseline": baseline, "formulas": {each.name: each.text for each in select.formulas}}
    return Rows(columns, tables(), {"settings": settings}, left_out)


def _value_columns(names: tuple[str, ...], counts_episodes: bool) -> tuple[Column, ...]:
    """Return the columns of these channels and formulas."""
    counted = names if counts_episodes else ()
    return (
        *share_columns(names, "mean_"),
        *share_columns(names, "peak_"),
        *share_columns(tuple(name for name in names if name in EXPRESSIONS), "top_"),
        *(Column(f"episodes_{name}", Kind.INTEGER) for name in counted),
        *(Column(f"episode_s_{name}", Kind.NUMBER, "s") for name in counted),
        *(Column(f"per_min_{name}", Kind.NUMBER, "episodes per minute seen") for name in counted),
    )


def _sessions_of(snapshot: Snapshot, whom: Whom) -> list[Session]:
    """Return the sessions that get a row where nobody was; none where people are named."""
    if whom.people:
        return []
    return [each for each in snapshot.sessions() if whom.source in (None, each.source)]


def _head(session: Session, keys: Keys) -> dict[str, Any]:
    until = session.opened_at if session.complete_until is None else session.complete_until
    gaps = sum(gap.end - gap.begin for gap in session.gaps)
    head = {"source": session.source, "session": session.id, **keys.of(session)}
    return head | {"session_s": (until - session.opened_at) / 1e6, "gap_s": gaps / 1e6, "seen_s": 0.0}


def _row(series: Series, faces: Series, rule: Rule | None) -> dict[str, Any]:
    person, session = series.person, series.session
    found, raw = shown(series.t, series.columns, series.hole_s), shown(faces.t, faces.columns, faces.hole_s)
    seen_s = found.readings * (session.step or 0) / 1e6
    minutes = seen_s / 60
    row: dict[str, Any] = {
        "person": person.id,
        "first": (person.first_time - session.opened_at) / 1e6,
        "last": (person.last_time - session.opened_at) / 1e6,
        "readings": found.readings,
        "seen_s": round(seen_s, 6),
        "transitions_per_min": round(raw.transitions / minutes, 4) if minutes and raw.top else None,
    }
    row |= {f"mean_{name}": round(value, 5) for name, value in found.means.items()}
    row |= {f"peak_{name}": round(value, 5) for name, value in found.peaks.items()}
    row |= {f"top_{name}": round(value, 5) for name, value in raw.top.items()}
    if rule is not None:
        rule = replace(rule, hole_s=max(rule.hole_s, series.hole_s))
        for name, values in series.columns.items():
            mine = episodes(series.t, values, rule)
            row[f"episodes_{name}"] = len(mine)
            row[f"episode_s_{name}"] = round(sum(each.offset - each.onset for each in mine), 6)
            row[f"per_min_{name}"] = round(len(mine) / minutes, 4) if minutes else None
    return row
