"""The episodes of everybody, a row each."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from query.analysis.episodes import Rule, episodes
from query.analysis.formula import Selection
from query.series import Series, read_series
from query.store import Snapshot
from query.study.keys import Keys
from query.study.people import Whom, people_of, rest_of
from query.tables import Column, Kind, Rows, Table, table_of

_S = "seconds since the first frame"
COLUMNS = (
    Column("channel", Kind.TEXT),
    Column("onset", Kind.NUMBER, _S),
    Column("apex", Kind.NUMBER, _S),
    Column("offset", Kind.NUMBER, _S),
    Column("duration", Kind.NUMBER, "s"),
    Column("peak", Kind.SHARE),
    Column("mean", Kind.SHARE),
    Column("readings", Kind.INTEGER),
    Column("cut", Kind.TEXT),
)


def episode_rows(
    snapshot: Snapshot,
    whom: Whom,
    keys: Keys,
    select: Selection,
    rule: Rule,
    baseline: str | None = None,
) -> Rows:
    """Return the episodes of each channel and formula of these people; `rule.hole_s` is at least three of their steps.

    Args:
        snapshot: where they are.
        whom: whose rows.
        keys: what every row carries besides.
        select: channels and formulas, at least one.
        rule: when an episode begins and ends.
        baseline: as `query.series.baseline_of` takes it; thresholds are then of the differences.
    """
    columns = (*keys.columns, *COLUMNS)
    left_out: list[str] = []

    def tables() -> Iterator[Table]:
        for session, person in people_of(snapshot, whom):
            rest = rest_of(snapshot, person, session, baseline, select, left_out)
            series = read_series(snapshot, person, session, select, baseline=rest)
            head = {"source": session.source, "session": session.id, "person": person.id, **keys.of(session)}
            yield table_of(columns, [head | row for row in _rows(series, rule)])

    settings = {
        "rule": asdict(rule),
        "baseline": baseline,
        "formulas": {each.name: each.text for each in select.formulas},
    }
    return Rows(columns, tables(), {"settings": settings}, left_out)


def _rows(series: Series, rule: Rule) -> Iterator[dict[str, Any]]:
    """Yield what COLUMNS names, per episode."""
    rule = replace(rule, hole_s=max(rule.hole_s, series.hole_s))
    for name, values in series.columns.items():
        for each in episodes(series.t, values, rule):
            yield {"channel": name, **asdict(each), "duration": each.offset - each.onset}
