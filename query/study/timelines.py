"""The timelines of everybody, one under the other."""

from collections.abc import Iterator
from dataclasses import replace

from query.analysis.formula import Selection
from query.series import end_of
from query.store import Snapshot
from query.study.keys import Keys
from query.study.people import Whom, channel_columns, people_of, rest_of, share_columns
from query.tables import Rows, Table, fixed_columns, timeline_table
from query.timeline import Wanted, pages

ROWS_AT_ONCE = 10_000


def timeline_study(
    snapshot: Snapshot,
    whom: Whom,
    keys: Keys,
    select: Selection,
    every: int | None,
    baseline: str | None = None,
) -> Rows:
    """Return the points or buckets of everybody, from the first frame of their session to all that is there.

    Args:
        snapshot: where they are.
        whom: whose rows.
        keys: what every row carries besides.
        select: channels and formulas.
        every: length of a bucket, µs; None: the points.
        baseline: as `query.series.baseline_of` takes it, for each person anew.
    """
    names = channel_columns(snapshot, whom, select)
    columns = (*keys.columns, *fixed_columns(every), *share_columns(names))

    left_out: list[str] = []

    def tables() -> Iterator[Table]:
        for session, person in people_of(snapshot, whom):
            wanted = Wanted(
                person=person.id,
                begin=session.opened_at,
                end=end_of(person, session),
                every=every,
                select=select,
                limit=ROWS_AT_ONCE,
            )
            rest = rest_of(snapshot, person, session, baseline, select, left_out)
            mine = keys.of(session)
            for page in pages(snapshot, session, replace(wanted, baseline=rest)):
                yield timeline_table(page, person, session, columns, mine)

    settings = {"every_us": every, "baseline": baseline, "formulas": {each.name: each.text for each in select.formulas}}
    return Rows(columns, tables(), {"settings": settings}, left_out)
