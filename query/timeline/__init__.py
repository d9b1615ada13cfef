"""One page of a person's timeline: the points themselves, or buckets of exactly the asked length.

A bucket without a reading says why: nothing here turns «no face» into a value.
"""

from collections.abc import Iterator
from dataclasses import replace

from contract.readings import Channel, ReadingSchema
from query.store import Session, Snapshot
from query.timeline.page import EmptyReason, ModelSpan, Page, Statistic, Wanted
from query.timeline.reading import Reading

__all__ = ["EmptyReason", "ModelSpan", "Page", "Statistic", "Wanted", "pages", "read_page"]


def read_page(snapshot: Snapshot, session: Session, wanted: Wanted) -> Page:
    """Return the first `limit` rows of what was asked for."""
    schemas = snapshot.schemas(wanted.person, wanted.begin, wanted.end)
    channels = _union(schemas, wanted.select.needed)
    place = {channel.name: column for column, channel in enumerate(channels)}
    sources = {
        schema: [(source, place[c.name]) for source, c in enumerate(body.channels) if c.name in place]
        for schema, body in schemas.items()
    }
    reading = Reading(snapshot, session, wanted, schemas, channels, sources)
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
    """Return the channels of all schemas, each once, in their order; only the named ones where names are given."""
    known = {channel.name: channel for body in schemas.values() for channel in body.channels}
    return tuple(known.values()) if names is None else tuple(known[name] for name in names if name in known)
