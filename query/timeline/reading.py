"""Reads a page from a store: the points themselves, or buckets of them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.points import SHARE_STEP, VALUE_STEP, Columns
from contract.readings import Channel, ReadingSchema
from query.store import GapSpan, Session, Snapshot
from query.store.sums import SECOND_US, Sums, level_for, sums_of_buckets, sums_of_points
from query.timeline.grid import edges_of
from query.timeline.page import ModelSpan, Page, Statistic, Wanted
from query.timeline.reasons import coverage, reasons
from query.timeline.values import Extremes, derived, offsets

Times = NDArray[np.int64]
Spans = list[tuple[str, Times]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer being read: what was asked, and which channels of which schemas it is made of."""

    snapshot: Snapshot
    session: Session
    wanted: Wanted
    schemas: dict[str, ReadingSchema]
    channels: tuple[Channel, ...]
    sources: dict[str, list[tuple[int, int]]]  # schema id -> (column there, column here)

    def points(self) -> Page:
        """Return the points of [begin, end), at most `limit`."""
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
        values = np.concatenate([self._spread(*part) for part in parts] or [self._empty(0)])[order]
        spans = [(schema, part.event_time) for schema, part in parts]
        return Page(
            begin=wanted.begin,
            end=wanted.end,
            every=None,
            event_time=times[order],
            n=None,
            why=None,
            coverage=None,
            frame=np.concatenate([part.frame for _, part in parts] or [np.empty(0, np.int64)])[order],
            box_xywh=np.concatenate([part.box_xywh for _, part in parts] or [np.empty((0, 4), np.float32)])[order],
            quality=np.concatenate([part.quality for _, part in parts] or [np.empty(0, np.float32)])[order],
            next_time=next_time,
            models=self._models(spans, page_end),
            gaps=self._gaps(page_end),
            **self._shown(*self._with_formulas(values)),
        )

    def buckets(self, every: int) -> Page:
        """Return a statistic of the readings in each bucket, at most `limit` buckets."""
        wanted = self.wanted
        edges = edges_of(wanted)
        page_end, spans = int(edges[-1]), Spans()
        exact = wanted.statistic is Statistic.MEAN and self._means_suffice()
        collect = self._means if exact else self._extremes
        n, quality, values, formulas = collect(edges, spans)
        gaps = self._gaps(page_end)
        return Page(
            begin=wanted.begin,
            end=wanted.end,
            every=every,
            event_time=edges[:-1],
            n=n,
            why=reasons(self.session, gaps, edges, n, self._between_frames(edges, every, n)),
            coverage=coverage(self.session, gaps, edges),
            frame=None,
            box_xywh=None,
            quality=quality,
            models=self._models(spans, page_end),
            gaps=gaps,
            next_time=page_end if page_end < wanted.end else None,
            **self._shown(values, formulas),
        )

    def _means_suffice(self) -> bool:
        """Return whether the formulas of the means are the means of the formulas."""
        everywhere = [{channel.name for channel in schema.channels} for schema in self.schemas.values()]
        return all(
            formula.is_linear and all(names >= set(formula.channels) for names in everywhere)
            for formula in self.wanted.formulas
        )

    def _means(
        self, edges: Times, spans: Spans
    ) -> tuple[Times, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return counts, quality, means of the channels and of the formulas, exactly as the points add up."""
        rows = len(edges) - 1
        n, quality = np.zeros(rows, np.int64), np.zeros(rows)
        sums = np.zeros((rows, len(self.channels)))
        measured = np.zeros((rows, len(self.channels)), np.int64)
        for schema, part in self._sums(edges, spans):
            n[part.place] += part.count
            quality[part.place] += part.quality
            for there, here in self.sources[schema]:
                sums[part.place, here] += part.values[:, there]
                measured[part.place, here] += part.count
        with np.errstate(invalid="ignore"):  # 0/0 is NaN, which reads as «no value»
            values, quality = (sums / VALUE_STEP / measured).astype(np.float32), quality / SHARE_STEP / n
        return n, quality.astype(np.float32), *self._with_formulas(values)

    def _extremes(
        self, edges: Times, spans: Spans
    ) -> tuple[Times, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return what `_means` does, from the points one by one: another statistic, or formulas that do not commute."""
        rows, wanted = len(edges) - 1, self.wanted
        width = len(self.channels) + len(wanted.formulas)
        n, quality = np.zeros(rows, np.int64), np.zeros(rows)
        sums, counts = np.zeros((rows, width)), np.zeros((rows, width), np.int64)
        # A threshold is one of the value that is shown, so the baseline is taken off before.
        off = self._offsets()
        extremes = Extremes(wanted.statistic, wanted.threshold, (rows, width))
        for schema, part in self._cut(int(edges[0]), int(edges[-1])):
            values = np.concatenate(self._with_formulas(self._spread(schema, part)), axis=1)
            place = np.searchsorted(edges, part.event_time, "right") - 1
            if wanted.statistic is Statistic.MEAN:
                np.add.at(sums, place, np.nan_to_num(values))
                np.add.at(counts, place, np.isfinite(values))
            else:
                extremes.add(place, values - off)
            n += np.bincount(place, minlength=rows)
            quality += np.bincount(place, part.quality, rows)
            spans.append((schema, part.event_time))
        with np.errstate(invalid="ignore"):
            found = (sums / counts).astype(np.float32)
            quality = quality / n
        if wanted.statistic is not Statistic.MEAN:
            found = extremes.result()
            if wanted.statistic is not Statistic.SHARE:
                found = found + off  # `_shown` takes it off again
        width = len(self.channels)
        return n, quality.astype(np.float32), found[:, :width], found[:, width:]

    def _with_formulas(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return values (rows, channels) and those of the formulas, (rows, formulas)."""
        columns = {channel.name: values[:, place] for place, channel in enumerate(self.channels)}
        found = derived(columns, self.wanted.formulas, len(values))
        stacked = [found[formula.name] for formula in self.wanted.formulas]
        return values, np.stack(stacked, axis=1) if stacked else np.empty((len(values), 0), np.float32)

    def _shown(self, values: NDArray[np.float32], formulas: NDArray[np.float32]) -> dict[str, Any]:
        """Return the fields of a page that hold values: less the baseline, without what only formulas read."""
        wanted, width = self.wanted, len(self.channels)
        if wanted.statistic is not Statistic.SHARE:
            off = self._offsets()
            values, formulas = values - off[:width], formulas - off[width:]
        names = wanted.select.names
        kept = [place for place, each in enumerate(self.channels) if names is None or each.name in names]
        shown = {formula.name: formulas[:, place] for place, formula in enumerate(wanted.formulas)}
        return {
            "channels": tuple(self.channels[k] for k in kept),
            "values": values[:, kept],
            "formulas": shown,
            "baseline": wanted.baseline,
        }

    def _offsets(self) -> NDArray[np.float32]:
        names = tuple(channel.name for channel in self.channels)
        return offsets(self.wanted.baseline, names, self.wanted.formulas)

    def _sums(self, edges: Times, spans: Spans) -> Iterator[tuple[str, Sums]]:
        """Yield what this page adds up to, by schema; `spans` gets event times, the first and the last among them."""
        begin, page_end = int(edges[0]), int(edges[-1])
        if len(edges) > 1 and (level := level_for(edges)) is not None:
            whole = page_end - page_end % (level * SECOND_US)
            kept = self.snapshot.buckets(self.wanted.person, begin, whole, level)
            outer: dict[str, tuple[int, int]] = {}
            for schema, part in kept or ():
                yield schema, sums_of_buckets(part, edges)
                outer[schema] = (outer.get(schema, part.begin)[0], part.begin[-1])
            spans += [(schema, self._times_in(schema, each, level)) for schema, each in outer.items()]
            begin = begin if kept is None else whole
        for schema, points in self._cut(begin, page_end):
            yield schema, sums_of_points(points, edges)
            spans.append((schema, points.event_time))

    def _times_in(self, schema: str, begins: tuple[int, int], level_s: int) -> Times:
        """Return event times of the points of two kept buckets; where the points have expired, the buckets' begins."""
        parts = [
            part.event_time
            for begin in dict.fromkeys(map(int, begins))
            for name, part in self._cut(begin, begin + level_s * SECOND_US)
            if name == schema
        ]
        return np.concatenate(parts) if parts else np.array(begins)

    def _cut(self, begin: int, end: int) -> Iterator[tuple[str, Columns]]:
        """Yield the points by schema, cut to [begin, end); empty parts left out."""
        if end <= begin:
            return
        for _, schema, part in self.snapshot.points(self.wanted.person, begin, end):
            low, high = np.searchsorted(part.event_time, (begin, end))
            if low < high:
                yield schema, _slice(part, int(low), int(high))

    def _enough(self) -> Iterator[tuple[str, Columns]]:
        """Yield points until more than `limit` are there and their minute is over."""
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
        """Return the values under this page's channels; NaN where the schema has none."""
        values = self._empty(len(part))
        for there, here in self.sources[schema]:
            values[:, here] = part.values[:, there]
        return values

    def _models(self, parts: Spans, page_end: int) -> tuple[ModelSpan, ...]:
        seen: dict[str, tuple[int, int]] = {}
        for schema, times in parts:
            times = times[times < page_end]
            if len(times):
                first, last = seen.get(schema, (int(times[0]), int(times[-1])))
                seen[schema] = min(first, int(times[0])), max(last, int(times[-1]))
        by_time = sorted(seen.items(), key=lambda each: (each[1], each[0]))
        return tuple(ModelSpan(self.schemas[schema], *span) for schema, span in by_time)

    def _gaps(self, page_end: int) -> tuple[GapSpan, ...]:
        """Return the gaps of the session that touch this page, cut to it."""
        begin = self.wanted.begin
        touching = (gap for gap in self.session.gaps if gap.begin < page_end and gap.end > begin)
        return tuple(replace(gap, begin=max(gap.begin, begin), end=min(gap.end, page_end)) for gap in touching)

    def _between_frames(self, edges: Times, every: int, n: Times) -> NDArray[np.bool_]:
        """Return which buckets are empty only because they lie between two neighbouring frames with this face."""
        step, starts = self.session.step, edges[:-1]
        if step is None or every >= 1.5 * step or n.all():
            return np.zeros(len(starts), np.bool_)
        margin = 2 * step
        parts = [part.event_time for _, part in self._cut(self.wanted.begin - margin, int(edges[-1]) + margin)]
        far = np.iinfo(np.int64).max // 4
        times = np.sort(np.concatenate([np.array([-far, far]), *parts]))
        after = np.searchsorted(times, starts)
        return np.asarray((n == 0) & (times[after] - times[after - 1] < 1.5 * step))


def _slice(part: Columns, low: int, high: int) -> Columns:
    return Columns(**{field.name: getattr(part, field.name)[low:high] for field in fields(Columns)})
