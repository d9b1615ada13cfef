"""What the store holds, as values, and the seam between the query layer and a store.

Left out on purpose: writing, identity corrections and live push.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from contract.buckets import Buckets
from contract.labels import GapReason
from contract.points import Columns
from contract.readings import ReadingSchema


@dataclass(frozen=True, slots=True)
class GapSpan:
    """A stretch [begin, end) that was not looked at, or in which faces were left out; µs of event time."""

    begin: int
    end: int
    reason: str
    faces: int = 0  # left out for their quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One unbroken run of a source."""

    source: str
    id: str
    uri: str | None
    opened_at: int  # event time of the first frame, µs
    dated: bool
    size_wh: tuple[int, int] | None
    fps: float | None
    sample_hz: float | None
    keeps_pictures: bool
    complete_until: int | None  # everything earlier is final
    frames: int
    looked_at: int
    closed: bool
    gaps: tuple[GapSpan, ...]
    name: str | None = None  # that the user gave the source
    start_offset: int = 0  # µs, of the first frame on a player's clock
    settings: Mapping[str, Any] = field(default_factory=dict)  # how it is looked at, as ingest states it

    @property
    def missed(self) -> tuple[GapSpan, ...]:
        """Return the gaps that were not looked at."""
        return tuple(gap for gap in self.gaps if gap.reason != GapReason.LOW_QUALITY)

    @property
    def step(self) -> int | None:
        """Mean µs between two frames that were looked at; None before the second one."""
        if self.complete_until is None or self.looked_at < 2:
            return None
        missed = sum(gap.end - gap.begin for gap in self.missed if gap.end <= self.complete_until)
        return max(1, (self.complete_until - self.opened_at - missed) // self.looked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person and the stretch in which they were seen; times in µs of event time."""

    id: str
    source: str
    session: str
    first_time: int
    last_time: int
    points: int
    has_picture: bool


@dataclass(frozen=True, slots=True)
class PeopleAfter:
    """The place in the list of people behind which a page begins."""

    source: str
    first_time: int
    person: str


class Snapshot(Protocol):
    """One state of the store."""

    def version(self) -> str | None:
        """Return a text that changes with every commit; None: not known at the moment.

        What is read after it is of this version or a later one.
        """

    def sessions(self) -> list[Session]:
        """Return all sessions, by source and time."""

    def session(self, source: str, session: str) -> Session:
        """Return one session; raises NotFound."""

    def headcounts(self) -> dict[tuple[str, str], int]:
        """Return how many people each (source, session) shows; those without are left out."""

    def people(self, source: str | None, after: PeopleAfter | None) -> Iterator[Person]:
        """Return people by source, first time and id, of one source or of all."""

    def person(self, person: str) -> Person:
        """Return one person; raises NotFound."""

    def picture(self, person: str) -> bytes | None:
        """JPEG of the person, where the source keeps pictures."""

    def schemas(self, person: str, begin: int, end: int) -> dict[str, ReadingSchema]:
        """Return the reading schemas, by id, of the chunks that touch [begin, end), the last rescoring's first."""

    def points(self, person: str, begin: int, end: int) -> Iterator[tuple[int, str, Columns]]:
        """Yield (chunk number, schema id, points) of the chunks that touch [begin, end), by chunk number; uncut.

        Consecutive chunks of one schema alone may come as one, under the number of the last. Of a frame that was
        read again only the last rescoring's point.

        Raises:
            BadStore: points that do not fit their schema.
        """

    def buckets(self, person: str, begin: int, end: int, level_s: int) -> Iterator[tuple[str, Buckets]] | None:
        """(schema id, sums) of the whole buckets in [begin, end), those of a schema by time, none empty.

        Of the same points as `points`. Both ends lie on a level of `contract.keys`. None: this store keeps no sums,
        its points are all there is.
        """


class Reader(Protocol):
    """A store that can be asked."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return one state of the store; raises BadStore where it cannot be read."""

    def close(self) -> None:
        """Let go of the store."""


def still_open(gaps: list[GapSpan], complete_until: int | None) -> Iterator[GapSpan]:
    """Yield the gaps, without what an interrupted run left open and a later one has looked at."""
    for gap in gaps:
        begin = max(gap.begin, complete_until or gap.begin) if gap.reason == GapReason.INTERRUPTED else gap.begin
        if begin < gap.end:
            yield GapSpan(begin, gap.end, gap.reason, gap.faces)


def settings_of(text: str | bytes | None) -> Mapping[str, Any]:
    """Return the settings that a session was opened with; none where an older Mien opened it.

    Raises:
        ValueError: no JSON object.
    """
    found = orjson.loads(text) if text else {}
    if not isinstance(found, dict):
        raise ValueError(f"settings {str(text)[:80]!r} are no object")
    return found
