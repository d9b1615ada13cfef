"""The buckets of a page: of one length, or the days of a calendar."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from query.timeline.page import Wanted

DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_DAYS = 100_000


def edges_of(wanted: Wanted) -> NDArray[np.int64]:
    """Return the edges of the buckets, (buckets + 1,) µs, rising from `begin`; the last bucket is cut at `end`."""
    assert wanted.every is not None
    if wanted.zone is None:
        rows = max(0, min(wanted.limit, -(-(wanted.end - wanted.begin) // wanted.every)))
        edges = wanted.begin + wanted.every * np.arange(rows + 1, dtype=np.int64)
    else:
        edges = np.array(list(_midnights(wanted)), np.int64)
    edges[-1] = min(edges[-1], wanted.end)
    return edges


def _midnights(wanted: Wanted) -> Iterator[int]:
    """Yield `begin`, then every n-th midnight of the zone, until `end` or the limit; a day of a clock change is one."""
    assert wanted.every is not None
    assert wanted.zone is not None
    zone, days = ZoneInfo(wanted.zone), wanted.every // DAY_US
    day = (EPOCH + timedelta(microseconds=wanted.begin)).astimezone(zone).date()
    yield wanted.begin
    for _ in range(min(wanted.limit, MOST_DAYS)):
        day += timedelta(days=days)
        midnight = _event_time(day, zone)
        yield midnight
        if midnight >= wanted.end:
            return


def _event_time(day: date, zone: ZoneInfo) -> int:
    return (datetime.combine(day, time(), zone).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
