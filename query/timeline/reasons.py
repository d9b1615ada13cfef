"""Why a bucket holds no reading, and how much of it was looked at."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason
from query.store import GapSpan, Session
from query.timeline.page import EmptyReason

Times = NDArray[np.int64]


def reasons(
    session: Session, gaps: Iterable[GapSpan], edges: Times, n: Times, between_frames: NDArray[np.bool_]
) -> list[str | None]:
    """Return per bucket of these edges (buckets + 1,) why it is empty; None where it is not.

    From the weakest to the strongest: absent, unsampled, the gap with the largest share, pending, a gap over all of
    it, outside.
    """
    until = session.opened_at if session.complete_until is None else session.complete_until
    starts, ends = edges[:-1], edges[1:]
    why = np.full(len(starts), EmptyReason.ABSENT, object)
    why[between_frames] = EmptyReason.UNSAMPLED
    share = np.zeros(len(starts), np.int64)
    for gap in gaps:
        here = _touched(edges, gap)
        overlap = np.minimum(ends[here], gap.end) - np.maximum(starts[here], gap.begin)
        longest = overlap > share[here]
        why[here][longest] = gap.reason
        share[here] = np.maximum(share[here], overlap)
    if session.closed:
        why[starts >= until] = EmptyReason.OUTSIDE
    else:
        why[(ends > until) & (share < ends - starts)] = EmptyReason.PENDING
    why[ends <= session.opened_at] = EmptyReason.OUTSIDE
    why[n > 0] = None
    return [None if reason is None else str(reason) for reason in why.tolist()]


def coverage(session: Session, gaps: Iterable[GapSpan], edges: Times) -> NDArray[np.float32]:
    """Return per bucket the share of it that was looked at, 0..1: inside the session, complete, and in no gap."""
    until = session.opened_at if session.complete_until is None else session.complete_until
    starts, ends = edges[:-1], edges[1:]
    looked = np.minimum(ends, until) - np.maximum(starts, session.opened_at)
    looked = np.maximum(looked, 0)
    last = np.iinfo(np.int64).min
    missed = (gap for gap in gaps if gap.reason != GapReason.LOW_QUALITY)
    for gap in sorted(missed, key=lambda gap: gap.begin):
        begin, end = max(gap.begin, last, session.opened_at), min(gap.end, until)
        last = max(last, gap.end)
        if begin < end:
            here = _touched(edges, GapSpan(begin, end, gap.reason))
            looked[here] -= np.minimum(ends[here], end) - np.maximum(starts[here], begin)
    return np.asarray(np.round(looked / np.maximum(ends - starts, 1), 6), np.float32)


def _touched(edges: Times, gap: GapSpan) -> slice:
    """Return the buckets that a gap touches."""
    low = int(np.searchsorted(edges, gap.begin, "right")) - 1
    high = int(np.searchsorted(edges[:-1], gap.end, "left"))
    return slice(max(low, 0), max(high, 0))
