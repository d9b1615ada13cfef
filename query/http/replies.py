"""The answers, as documented values. A timeline itself is written by `query.http.bodies`, never through a model."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from query.http.times import instant, seconds
from query.store import GapSpan, Person, Session


class GapReply(BaseModel):
    """A stretch that was not looked at, or `low_quality`: in which faces were left out. It says nothing about faces."""

    begin: float = Field(alias="from", description="Seconds since the first frame", examples=[12.4])
    end: float = Field(alias="to", description="Seconds since the first frame; exclusive", examples=[13.0])
    reason: str = Field(description="One of the gap reasons", examples=["decode_error"])
    faces: int = Field(0, description="Faces left out, where the reason is `low_quality`; absent elsewhere")


class SessionReply(BaseModel):
    """One unbroken run of a source."""

    id: str
    origin: datetime | None = Field(description="Instant of the first frame; null where the source carries no date")
    size_wh: tuple[int, int] | None = Field(description="Width and height of the upright picture, px")
    fps: float | None = Field(description="Mean frame rate, where the source knows it")
    sample_hz: float | None = Field(description="Frames looked at per second, as asked for; null: every frame")
    step: float | None = Field(description="Mean seconds between two frames that were looked at")
    frames: int = Field(description="Frames decoded so far")
    looked_at: int = Field(description="Frames searched for faces so far")
    complete_until: float | None = Field(description="Everything before it is final; seconds since the first frame")
    closed: bool = Field(description="Nothing more will come")
    keeps_pictures: bool = Field(description="A small picture of each person may be kept")
    settings: dict[str, Any] = Field(description="How it is looked at: detector, sampling, thresholds, version")
    people: int
    gaps: list[GapReply]


class SourceReply(BaseModel):
    """A camera or a file."""

    id: str
    name: str | None = Field(description="That the user gave it; null: none, see `uri`")
    uri: str | None = Field(description="Where it was read from, as typed, without user and password")
    people: int
    sessions: list[SessionReply] = Field(description="By time; a reconnect or a restart opens a new one")


class SourcesReply(BaseModel):
    """All sources."""

    sources: list[SourceReply]


class PersonReply(BaseModel):
    """A person and when they were seen."""

    id: str
    source: str
    session: str
    origin: datetime | None = Field(description="Instant of the session's first frame; null where it carries no date")
    first: float = Field(description="First reading; seconds since the first frame")
    last: float = Field(description="Last reading so far; seconds since the first frame")
    points: int = Field(description="Readings so far")
    picture: str | None = Field(description="Path of a small picture; null where none may be kept or none is there yet")


class PeopleReply(BaseModel):
    """A page of people, by source, first reading and id."""

    people: list[PersonReply]
    next: str | None = Field(description="`cursor` of the next page; null on the last one")


class NetReply(BaseModel):
    """Weights that were run."""

    name: str
    version: str
    sha256: str = Field(description="Of the file that was run")


class ModelReply(BaseModel):
    """Which nets made which channels, and where on this page."""

    id: str = Field(description="Changes with any net, version or channel")
    begin: float = Field(alias="from", description="First point of this page that it made")
    end: float = Field(alias="to", description="Last point of this page that it made")
    nets: list[NetReply]
    expressions: list[str]
    action_units: list[str]


class BaselineReply(BaseModel):
    """The face at rest that was taken off all values."""

    how: str = Field(description="`found`, or the stretch or person that was named")
    readings: int = Field(description="Readings behind it")
    values: dict[str, float] = Field(description="By channel, 0..1")


class TimelineHead(BaseModel):
    """What every timeline says about itself."""

    person: str
    source: str
    session: str
    origin: datetime | None = Field(description="Instant of `t` = 0; null where the source carries no date")
    begin: float = Field(alias="from", description="Begin that was used; seconds since the first frame")
    end: float = Field(alias="to", description="End that was used, exclusive; the page may stop before it, see `next`")
    every: float | None = Field(description="Length of a bucket in seconds; null: the points themselves")
    settings: dict[str, Any] = Field(description="How the source is looked at; the nets are in `models`")
    complete_until: float | None = Field(description="Everything before it is final")
    closed: bool = Field(description="The session has ended; nothing more will come")
    gaps: list[GapReply] = Field(description="Stretches of this page that were not looked at")
    models: list[ModelReply]
    baseline: BaselineReply | None = Field(None, description="What was taken off the values; null: nothing")
    next: str | None = Field(description="`cursor` of the next page; null where nothing was cut")


class TimelineReply(TimelineHead):
    """A stretch of a timeline, one array per column; all arrays have one length."""

    t: list[float] = Field(description="Seconds since the first frame; of a bucket, its begin")
    n: list[int] | None = Field(None, description="Buckets only: readings in each")
    why: list[str | None] | None = Field(
        None,
        description="Buckets only: null where `n` > 0, else `absent` (looked at, this face not found), `unsampled` (no "
        "frame fell into so short a bucket), `pending` (not looked at yet), `outside` (before the first or after the "
        "last frame), or the reason of the gap with the largest share of the bucket",
    )
    frame: list[int] | None = Field(None, description="Points only: index of the frame in the session")
    box_xywh: list[tuple[float, float, float, float]] | None = Field(
        None, description="Points only: face box in the upright source picture, px"
    )
    quality: list[float | None] = Field(
        description="0..1, size, sharpness and pose; mean of a bucket, null where n = 0"
    )
    expressions: dict[str, list[float | None]] = Field(
        description="Probability per expression; mean of a bucket; null where no net of the time measured it or n = 0"
    )
    action_units: dict[str, list[float | None]] = Field(description="Probability that the unit is active; as above")
    formulas: dict[str, list[float | None]] | None = Field(None, description="Values of the formulas asked for")
    coverage: list[float] | None = Field(None, description="Buckets only: share of each that was looked at, 0..1")


class TimelineRows(TimelineHead):
    """The same with `format=json-rows`: one object per row, channels beside `t`, `n`, `why`, `frame`, …"""

    rows: list[dict[str, Any]]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


def source_rows(sessions: list[Session], headcounts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Return what `SourcesReply` holds: sessions gathered by source; `headcounts` by (source, session)."""
    by_source: dict[str, list[Session]] = {}
    for session in sessions:
        by_source.setdefault(session.source, []).append(session)
    return {
        "sources": [
            {
                "id": source,
                "name": runs[-1].name,
                "uri": runs[-1].uri,
                "people": sum(headcounts.get((source, run.id), 0) for run in runs),
                "sessions": [_session_row(run, headcounts.get((source, run.id), 0)) for run in runs],
            }
            for source, runs in by_source.items()
        ]
    }


def _session_row(session: Session, people: int) -> dict[str, Any]:
    return {
        "id": session.id,
        "origin": origin(session),
        "size_wh": session.size_wh,
        "fps": session.fps,
        "sample_hz": session.sample_hz,
        "step": None if session.step is None else seconds(session.step),
        "frames": session.frames,
        "looked_at": session.looked_at,
        "complete_until": since(session, session.complete_until),
        "closed": session.closed,
        "keeps_pictures": session.keeps_pictures,
        "settings": session.settings,
        "people": people,
        "gaps": gap_rows(session, session.gaps),
    }


def person_row(person: Person, session: Session, picture: str) -> dict[str, Any]:
    """Return what `PersonReply` holds; `picture` is the path under which a picture would be found."""
    return {
        "id": person.id,
        "source": person.source,
        "session": person.session,
        "origin": origin(session),
        "first": since(session, person.first_time),
        "last": since(session, person.last_time),
        "points": person.points,
        "picture": picture if person.has_picture and session.keeps_pictures else None,
    }


def gap_rows(session: Session, gaps: tuple[GapSpan, ...]) -> list[dict[str, Any]]:
    """Return what `GapReply` holds, per gap."""
    return [
        {"from": since(session, gap.begin), "to": since(session, gap.end), "reason": gap.reason}
        | ({"faces": gap.faces} if gap.faces else {})
        for gap in gaps
    ]


def origin(session: Session) -> str | None:
    """Return the instant of t = 0; None where the source carries no date."""
    return instant(session.opened_at) if session.dated else None


def complete_until(session: Session) -> float | None:
    """Return seconds since the first frame up to which everything is final."""
    return since(session, session.complete_until)


def since(session: Session, event_time: int | None) -> float | None:
    """Return seconds since the session's first frame."""
    return None if event_time is None else seconds(event_time - session.opened_at)
