"""A person's values over time as arrays, and the baseline that is asked for by name."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from contract.labels import ACTION_UNITS, EXPRESSIONS
from query.analysis.baseline import Baseline, found_baseline, mean_baseline
from query.analysis.formula import Selection
from query.store import Person, Session, Snapshot
from query.timeline import Wanted, read_page
from query.timeline.page import Page

ALL_ROWS = 2**40
SECOND_US = 1_000_000
EVER = 2**62


@dataclass(frozen=True, slots=True)
class Series:
    """All readings of a stretch: rising times t (n,), s since the first frame, and columns (n,) by name."""

    person: Person
    session: Session
    t: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float32]]
    page: Page

    @property
    def hole_s(self) -> float:
        """Readings farther apart than this do not belong together; s."""
        step = self.session.step
        return max(0.5, 3 * step / SECOND_US) if step else 0.5


def read_series(
    snapshot: Snapshot,
    person: Person,
    session: Session,
    select: Selection,
    begin: int | None = None,
    end: int | None = None,
    baseline: Baseline | None = None,
) -> Series:
    """Return all readings of a person in [begin, end), µs; without bounds, of all that is there.

    Raises:
        BadStore: points that cannot be understood.
    """
    page = read_page(
        snapshot,
        session,
        Wanted(
            person=person.id,
            begin=session.opened_at if begin is None else begin,
            end=end_of(person, session) if end is None else end,
            every=None,
            select=select,
            limit=ALL_ROWS,
            baseline=baseline,
        ),
    )
    return Series(person, session, (page.event_time - session.opened_at) / 1e6, page.columns(), page)


def end_of(person: Person, session: Session) -> int:
    """Return where all that is there ends, exclusive; µs of event time."""
    return max(person.last_time + 1, session.complete_until or session.opened_at)


def baseline_of(
    snapshot: Snapshot, person: Person, session: Session, text: str | None, select: Selection
) -> Baseline | None:
    """Return the baseline that `text` names; None where it names none.

    Args:
        snapshot: where the people are.
        person: whose values are asked for.
        session: theirs.
        text: `auto`: found among all readings; `FROM..TO`: the mean of a stretch, in s; `ID` or `ID@FROM..TO`: the
            mean of another person, such as the same face in a clip of its own.
        select: the channels that it must know.

    Raises:
        BadRequest: none of these, or no face at rest is there.
        NotFound: no such person.
    """
    if text is None or not text.strip():
        return None
    needed = Selection(select.needed)
    if text == "auto":
        return found_baseline(read_series(snapshot, person, session, _with_strength(needed)).columns)
    whom, at, stretch = text.rpartition("@")
    bounds = _bounds(stretch if at else text)
    if at or bounds is None:
        person = snapshot.person(whom if at and bounds else text)
        session = snapshot.session(person.source, person.session)
    begin, end = (None, None) if bounds is None else (session.opened_at + round(s * 1e6) for s in bounds)
    series = read_series(snapshot, person, session, needed, begin, end)
    return mean_baseline(series.columns, f"{text} ({len(series.t)} readings)")


def _with_strength(select: Selection) -> Selection:
    """Return the channels and those by which a face at rest is known."""
    if select.names is None:
        return select
    return Selection(tuple(dict.fromkeys((*select.names, *EXPRESSIONS, *ACTION_UNITS))))


def _bounds(text: str) -> tuple[float, float] | None:
    """Return the seconds of `FROM..TO`; None: that is none.

    Raises:
        BadRequest: it ends before it begins.
    """
    low, dots, high = text.partition("..")
    try:
        begin, end = float(low), float(high)
    except ValueError:
        return None
    if not dots or not begin < end or max(abs(begin), abs(end)) > 1e9:
        raise BadRequest(f"baseline={text[:40]}: wanted a stretch FROM..TO in seconds, the first before the second")
    return begin, end
