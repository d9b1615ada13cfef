"""What people did around events: the mean response, a row per bin, and its interval."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from query.analysis.formula import Selection
from query.analysis.responses import Window, locked, response
from query.series import read_series
from query.store import Snapshot
from query.study.people import Whom, people_of
from query.tables import Column, Kind, Rows, Table, table_of

MOST_MARKERS = 100_000
COLUMNS = (
    Column("marker", Kind.TEXT),
    Column("channel", Kind.TEXT),
    Column("t", Kind.NUMBER, "s after the marker"),
    Column("mean", Kind.SHARE, "difference to the mean before the marker"),
    Column("low", Kind.SHARE, "of the 95 % interval"),
    Column("high", Kind.SHARE, "of the 95 % interval"),
    Column("people", Kind.INTEGER),
    Column("events", Kind.INTEGER, "with coverage"),
    Column("asked", Kind.INTEGER, "events times people"),
)


@dataclass(frozen=True, slots=True)
class Marker:
    """An event at a time of a source, in seconds since the first frame; source None: of every source."""

    name: str
    t: float
    source: str | None


def parse_markers(text: str) -> list[Marker]:
    """Return the markers in a CSV with the columns t and, if they are there, marker and source.

    Raises:
        BadRequest: there is no column t, a t that is no number of seconds, or too many rows.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    except csv.Error as error:
        raise BadRequest(f"markers: no CSV ({error})") from error
    if not rows or "t" not in rows[0] or len(rows) > MOST_MARKERS:
        raise BadRequest(f"markers: wanted a CSV with a column t, and marker, source; 1 to {MOST_MARKERS:,} rows")
    found = []
    for line, row in enumerate(rows, 2):
        try:
            t = float(row["t"] or "")
        except ValueError:
            t = np.nan
        if not abs(t) <= 1e9:
            raise BadRequest(f"markers: line {line}: t={(row['t'] or '')[:40]!r} is no number of seconds")
        found.append(Marker(row.get("marker") or "marker", t, row.get("source") or None))
    return found


def response_rows(
    snapshot: Snapshot,
    whom: Whom,
    markers: Sequence[Marker],
    select: Selection,
    window: Window,
) -> Rows:
    """Return the mean response of people to each marker name and of each channel and formula."""
    names = list(dict.fromkeys(marker.name for marker in markers))
    rows: dict[tuple[str, str], dict[str, NDArray[np.float64]]] = {}
    for session, person in people_of(snapshot, whom):
        series = read_series(snapshot, person, session, select)
        for name in names:
            mine = [each.t for each in markers if each.name == name and each.source in (None, session.source)]
            if not mine:
                continue
            for channel, values in series.columns.items():
                rows.setdefault((name, channel), {})[person.id] = locked(series.t, values, mine, window)

    def tables() -> Iterator[Table]:
        for (name, channel), mine in rows.items():
            found = response(mine, window)
            head = {"marker": name, "channel": channel, "people": found.people, "events": found.events}
            bins = zip(found.t, found.mean, found.low, found.high, strict=True)
            lines = [
                head | {"asked": found.asked, "t": round(t, 6), "mean": mean, "low": low, "high": high}
                for t, mean, low, high in (map(float, each) for each in bins)
            ]
            yield table_of(COLUMNS, lines)

    return Rows(COLUMNS, tables(), {"settings": {"window": asdict(window)}})
