"""One page of a person's timeline: the points themselves, or buckets of exactly the asked length.

A bucket without a reading says why: nothing here turns «no face» into a value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from contract.points import SHARE_STEP, VALUE_STEP, Columns
from contract.readings import Channel, ReadingSchema
from query.store import GapSpan, Session, Snapshot
from query.store.sums import SECOND_US, Sums, level_for, sums_of_buckets, sums_of_points


class EmptyReason(StrEnum):
    """Why a bucket holds no reading, besides the reasons of gaps."""

    ABSENT = "absent"  # the source was looked at and this face was not found
    UNSAMPLED = "unsampled"  # shorter than the step between two frames: no frame fell into it
    PENDING = "pending"  # not looked at yet
    OUTSIDE = "outside"  # before the first frame or after the last


@dataclass(frozen=True, slots=True)
class ModelSpan:
    """A reading schema and the event times of the first and last point it made on this page; µs."""

    schema: ReadingSchema
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of a timeline: a row per point, or a row per bucket, which holds `n` points from `event_time` on."""

    begin: int
    end: int  # as asked; the page may stop before it, see `next_time`
    every: int | None  # µs; None: points
    event_time: NDArray[np.int64]  # (rows,)
    n: NDArray[np.int64] | None  # (rows,)
    why: list[str | None] | None  # per bucket; None where n > 0
    frame: NDArray[np.int64] | None
    box_xywh: NDArray[np.float32] | None  # (rows, 4)
    quality: NDArray[np.float32]  # (rows,); NaN where n is 0
    channels: tuple[Channel, ...]
    values: NDArray[np.float32]  # (rows, channels); NaN where no net said anything
    models: tuple[ModelSpan, ...]
    gaps: tuple[GapSpan, ...]
    next_time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for, in µs of event time."""

    person: str
    begin: int
    end: int
    every: int | None
    channels: tuple[str, ...] | None  # None: all that were measured
    limit: int  # rows


def read_page(snapshot: Snapshot, session: Session, wanted: Wanted) -> Page:
    """The first `limit` rows of what was asked for."""
    schemas = snapshot.schemas(wanted.person, wanted.begin, wanted.end)
    channels = _union(schemas, wanted.channels)
    place = {channel.name: column for column, channel in enumerate(channels)}
    sources = {
        schema: [(source, place[c.name]) for source, c in enumerate(body.channels) if c.name in place]
        for schema, body in schemas.items()
    }
    reading = _Reading(snapshot, session, wanted, schemas, channels, sources)
    return reading.points() if wanted.every is None else reading.buckets(wanted.every)


def pages(snapshot: Snapshot, session: Session, wanted: Wanted) -> Iterator[Page]:
    """Yield all of what was asked for, `limit` rows at a time; at least one page."""
    while True:
        page = read_page(snapshot, session, wanted)
        yield page
        if page.next_time is None:
            return
        wanted = replace(wanted, begin=page.next_time)


def _union(schemas: dict[str, ReadingSchema], names: tuple[str, ...] | None) -> tuple[Channel, ...]:
    """Channels of all schemas, each once, in the order of the schemas; only the named ones where names are given."""
    known = {channel.name: channel for body in schemas.values() for channel in body.channels}
    return tuple(known.values()) if names is None else tuple(known[name] for name in names if name in known)


@dataclass(frozen=True, slots=True)
class _Reading:
    snapshot: Snapshot
    session: Session
    wanted: Wanted
    schemas: dict[str, ReadingSchema]
    channels: tuple[Channel, ...]
    sources: dict[str, list[tuple[int, int]]]  # schema id -> (column there, column here)

    def points(self) -> Page:
        """The points of [begin, end), at most `limit`."""
        wanted = self.wanted
        parts = list(self._enough())
        times = np.concatenate([part.event_time for _, part in parts] or [np.empty(0, np.int64)])
        order = np.argsort(times, kind="stable")
        next_time = int(times[order[wanted.limit]]) if len(order) > wanted.limit else None
        if next_time is not None:
            kept = order[times[order] < next_time]
            # Points of one instant stay together, even where they alone fill the page.
            order = kept if len(kept) else order[times[order] == next_time]
            next_time = next_time if len(kept) else next_time + 1
        page_end = wanted.end if next_time is None else next_time
        return Page(
            begin=wanted.begin,
            end=wanted.end,
            every=None,
            event_time=times[order],
            n=None,
            why=None,
            frame=np.concatenate([part.frame for _, part in parts] or [np.empty(0, np.int64)])[order],
            box_xywh=np.concatenate([part.box_xywh for _, part in parts] or [np.empty((0, 4), np.float32)])[order],
            quality=np.concatenate([part.quality for _, part in parts] or [np.empty(0, np.float32)])[order],
            channels=self.channels,
            values=np.concatenate([self._spread(*part) for part in parts] or [self._empty(0)])[order],
            models=self._models([(schema, part.event_time) for schema, part in parts], page_end),
            gaps=self._gaps(page_end),
            next_time=next_time,
        )

    def buckets(self, every: int) -> Page:
        """Means over [begin + k·every, begin + (k + 1)·every), at most `limit` of them."""
        wanted = self.wanted
        rows = max(0, min(wanted.limit, -(-(wanted.end - wanted.begin) // every)))
        page_end = min(wanted.end, wanted.begin + rows * every)
        n = np.zeros(rows, np.int64)
        quality = np.zeros(rows)
        sums = np.zeros((rows, len(self.channels)))
        measured = np.zeros((rows, len(self.channels)), np.int64)
        spans = list[tuple[str, NDArray[np.int64]]]()
        for schema, part in self._sums(every, page_end, spans):
            n[part.place] += part.count
            quality[part.place] += part.quality
            for there, here in self.sources[schema]:
                sums[part.place, here] += part.values[:, there]
                measured[part.place, here] += part.count
        starts = wanted.begin + every * np.arange(rows, dtype=np.int64)
        with np.errstate(invalid="ignore"):  # 0/0 is NaN, which reads as «no value»
            values, quality = (sums / VALUE_STEP / measured).astype(np.float32), quality / SHARE_STEP / n
        return Page(
            begin=wanted.begin,
            end=wanted.end,
            every=every,
            event_time=starts,
            n=n,
            why=self._reasons(starts, every, page_end, n),
            frame=None,
            box_xywh=None,
            quality=quality.astype(np.float32),
            channels=self.channels,
            values=values,
            models=self._models(spans, page_end),
            gaps=self._gaps(page_end),
            next_time=page_end if page_end < wanted.end else None,
        )

    def _sums(
        self, every: int, page_end: int, spans: list[tuple[str, NDArray[np.int64]]]
    ) -> Iterator[tuple[str, Sums]]:
        """What this page adds up to, by schema; `spans` gets event times, the first and the last among them."""
        begin = self.wanted.begin
        if (level := level_for(begin, every)) is not None:
            whole = page_end - page_end % (level * SECOND_US)
            kept = self.snapshot.buckets(self.wanted.person, begin, whole, level)
            edges: dict[str, tuple[int, int]] = {}
            for schema, part in kept or ():
                yield schema, sums_of_buckets(part, begin, every)
                edges[schema] = (edges.get(schema, part.begin)[0], part.begin[-1])
            spans += [(schema, self._times_in(schema, each, level)) for schema, each in edges.items()]
            begin = begin if kept is None else whole
        for schema, points in self._cut(begin, page_end):
            yield schema, sums_of_points(points, self.wanted.begin, every)
            spans.append((schema, points.event_time))

    def _times_in(self, schema: str, begins: tuple[int, int], level_s: int) -> NDArray[np.int64]:
        """Event times of the points of two kept buckets; where the points have expired, the buckets' begins."""
        parts = [
            part.event_time
            for begin in dict.fromkeys(map(int, begins))
            for name, part in self._cut(begin, begin + level_s * SECOND_US)
            if name == schema
        ]
        return np.concatenate(parts) if parts else np.array(begins)

    def _cut(self, begin: int, end: int) -> Iterator[tuple[str, Columns]]:
        """The stretches, cut to [begin, end); empty ones left out."""
        if end <= begin:
            return
        for _, schema, part in self.snapshot.points(self.wanted.person, begin, end):
            low, high = np.searchsorted(part.event_time, (begin, end))
            if low < high:
                yield schema, _slice(part, int(low), int(high))

    def _enough(self) -> Iterator[tuple[str, Columns]]:
        """Stretches until more than `limit` points are there and their minute is over."""
        held, minute = 0, None
        begin, end = self.wanted.begin, self.wanted.end
        for chunk, schema, part in self.snapshot.points(self.wanted.person, begin, end):
            if held > self.wanted.limit and chunk != minute:
                return
            low, high = np.searchsorted(part.event_time, (begin, end))
            held, minute = held + int(high - low), chunk
            yield schema, _slice(part, int(low), int(high))

    def _empty(self, rows: int) -> NDArray[np.float32]:
        return np.full((rows, len(self.channels)), np.nan, np.float32)

    def _spread(self, schema: str, part: Columns) -> NDArray[np.float32]:
        """The values under this page's channels; NaN where the schema has none."""
        values = self._empty(len(part))
        for there, here in self.sources[schema]:
            values[:, here] = part.values[:, there]
        return values

    def _models(self, parts: list[tuple[str, NDArray[np.int64]]], page_end: int) -> tuple[ModelSpan, ...]:
        seen: dict[str, tuple[int, int]] = {}
        for schema, times in parts:
            times = times[times < page_end]
            if len(times):
                first, last = seen.get(schema, (int(times[0]), int(times[-1])))
                seen[schema] = min(first, int(times[0])), max(last, int(times[-1]))
        by_time = sorted(seen.items(), key=lambda each: (each[1], each[0]))
        return tuple(ModelSpan(self.schemas[schema], *span) for schema, span in by_time)

    def _gaps(self, page_end: int) -> tuple[GapSpan, ...]:
        """Gaps of the session that touch this page, cut to it."""
        begin = self.wanted.begin
        touching = (gap for gap in self.session.gaps if gap.begin < page_end and gap.end > begin)
        return tuple(GapSpan(max(gap.begin, begin), min(gap.end, page_end), gap.reason) for gap in touching)

    def _reasons(self, starts: NDArray[np.int64], every: int, page_end: int, n: NDArray[np.int64]) -> list[str | None]:
        """Per bucket, why it is empty; None where it is not.

        From the weakest to the strongest word: absent, unsampled, the gap with the largest share, pending,
        a gap over all of it, outside.
        """
        session = self.session
        until = session.opened_at if session.complete_until is None else session.complete_until
        ends = np.minimum(starts + every, page_end)
        why = np.full(len(starts), EmptyReason.ABSENT, object)
        why[self._between_frames(starts, every, page_end, n)] = EmptyReason.UNSAMPLED
        share = np.zeros(len(starts), np.int64)
        for gap in self._gaps(page_end):
            low = (gap.begin - self.wanted.begin) // every
            here = slice(low, -(-(gap.end - self.wanted.begin) // every))
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

    def _between_frames(
        self, starts: NDArray[np.int64], every: int, page_end: int, n: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which buckets are empty only because they lie between two neighbouring frames with this face."""
        step = self.session.step
        if step is None or every >= 1.5 * step or n.all():
            return np.zeros(len(starts), np.bool_)
        margin = 2 * step
        parts = [part.event_time for _, part in self._cut(self.wanted.begin - margin, page_end + margin)]
        far = np.iinfo(np.int64).max // 4
        times = np.sort(np.concatenate([np.array([-far, far]), *parts]))
        after = np.searchsorted(times, starts)
        return np.asarray((n == 0) & (times[after] - times[after - 1] < 1.5 * step))


def _slice(part: Columns, low: int, high: int) -> Columns:
    return Columns(
        event_time=part.event_time[low:high],
        frame=part.frame[low:high],
        box_xywh=part.box_xywh[low:high],
        quality=part.quality[low:high],
        sharpness=part.sharpness[low:high],
        score=part.score[low:high],
        angles_deg=part.angles_deg[low:high],
        values=part.values[low:high],
    )
