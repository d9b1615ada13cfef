"""The answers, as documented values and as bytes. Bulk goes from numpy through orjson, never through a model."""

from datetime import datetime
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from contract.readings import ChannelKind
from query.reader import GapSpan, Person, Session
from query.timeline import ModelSpan, Page
from query.times import instant, seconds

_GROUPS = {ChannelKind.EXPRESSION: "expressions", ChannelKind.ACTION_UNIT: "action_units"}
_DIGITS = 5  # values are stored in steps of 1/65,535


class GapReply(BaseModel):
    """A stretch that was not looked at. It says nothing about faces."""

    begin: float = Field(alias="from", description="Seconds since the first frame", examples=[12.4])
    end: float = Field(alias="to", description="Seconds since the first frame; exclusive", examples=[13.0])
    reason: str = Field(description="A word of the list of gap reasons", examples=["decode_error"])


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
    people: int
    gaps: list[GapReply]


class SourceReply(BaseModel):
    """A camera or a file."""

    id: str
    uri: str | None = Field(description="Where it was read from, without user and password")
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


class TimelineHead(BaseModel):
    """What every timeline says about itself."""

    person: str
    source: str
    session: str
    origin: datetime | None = Field(description="Instant of `t` = 0; null where the source carries no date")
    begin: float = Field(alias="from", description="Begin that was used; seconds since the first frame")
    end: float = Field(alias="to", description="End that was used, exclusive; the page may stop before it, see `next`")
    every: float | None = Field(description="Length of a bucket in seconds; null: the points themselves")
    complete_until: float | None = Field(description="Everything before it is final")
    closed: bool = Field(description="The session has ended; nothing more will come")
    gaps: list[GapReply] = Field(description="Stretches of this page that were not looked at")
    models: list[ModelReply]
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


class TimelineRows(TimelineHead):
    """The same with `format=json-rows`: one object per row, channels beside `t`, `n`, `why`, `frame`, …"""

    rows: list[dict[str, Any]]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


def source_replies(sessions: list[Session]) -> SourcesReply:
    """Sessions, gathered by source."""
    by_source: dict[str, list[Session]] = {}
    for session in sessions:
        by_source.setdefault(session.source, []).append(session)
    return SourcesReply(
        sources=[
            SourceReply(
                id=source,
                uri=runs[-1].uri,
                people=sum(run.people for run in runs),
                sessions=[_session_reply(run) for run in runs],
            )
            for source, runs in by_source.items()
        ]
    )


def _session_reply(session: Session) -> SessionReply:
    return SessionReply.model_validate(
        {
            "id": session.id,
            "origin": origin(session),
            "size_wh": session.size_wh,
            "fps": session.fps,
            "sample_hz": session.sample_hz,
            "step": None if session.step is None else seconds(session.step),
            "frames": session.frames,
            "looked_at": session.looked_at,
            "complete_until": _since(session, session.complete_until),
            "closed": session.closed,
            "keeps_pictures": session.keeps_pictures,
            "people": session.people,
            "gaps": _gaps(session, session.gaps),
        }
    )


def person_reply(person: Person, session: Session, picture: str) -> PersonReply:
    """A person; `picture` is the path under which a picture would be found."""
    return PersonReply.model_validate(
        {
            "id": person.id,
            "source": person.source,
            "session": person.session,
            "origin": origin(session),
            "first": _since(session, person.first_time),
            "last": _since(session, person.last_time),
            "points": person.points,
            "picture": picture if person.has_picture and session.keeps_pictures else None,
        }
    )


def columnar(page: Page, person: Person, session: Session, cursor: str | None, wanted: tuple[str, ...] | None) -> bytes:
    """JSON of `TimelineReply`."""
    reply = _head(page, person, session, cursor) | _columns(page, session)
    return _json(reply | _channels(page, wanted))


def rows(page: Page, person: Person, session: Session, cursor: str | None, wanted: tuple[str, ...] | None) -> bytes:
    """JSON of `TimelineRows`."""
    table = _table(page, session, wanted)
    lines = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return _json(_head(page, person, session, cursor) | {"rows": lines})


def csv(page: Page, session: Session, wanted: tuple[str, ...] | None) -> bytes:
    """The same rows as text: a header line, then commas; an empty field where there is no value."""
    table = _table(page, session, wanted)
    if boxes := table.pop("box_xywh", None):
        table |= {f"box_{side}": [box[place] for box in boxes] for place, side in enumerate("xywh")}
    lines = [",".join(table)]
    lines += [",".join(map(_field, row)) for row in zip(*table.values(), strict=True)]
    return ("\n".join(lines) + "\n").encode()


def _field(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _json(reply: dict[str, Any]) -> bytes:
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)


def _head(page: Page, person: Person, session: Session, cursor: str | None) -> dict[str, Any]:
    return {
        "person": person.id,
        "source": session.source,
        "session": session.id,
        "origin": origin(session),
        "from": _since(session, page.begin),
        "to": _since(session, page.end),
        "every": None if page.every is None else seconds(page.every),
        "complete_until": _since(session, session.complete_until),
        "closed": session.closed,
        "gaps": _gaps(session, page.gaps),
        "models": [_model(session, span) for span in page.models],
        "next": cursor,
    }


def _model(session: Session, span: ModelSpan) -> dict[str, Any]:
    schema = span.schema
    return {
        "id": schema.id,
        "from": _since(session, span.first),
        "to": _since(session, span.last),
        "nets": [{"name": net.name, "version": net.version, "sha256": net.sha256} for net in schema.nets],
        **{group: schema.names(kind) for kind, group in _GROUPS.items()},
    }


def _columns(page: Page, session: Session) -> dict[str, Any]:
    """The columns beside the channels."""
    found: dict[str, Any] = {"t": (page.event_time - session.opened_at) / 1e6}
    found |= {"n": page.n, "why": page.why, "frame": page.frame, "box_xywh": page.box_xywh}
    found["quality"] = np.round(page.quality, _DIGITS)
    return {name: column for name, column in found.items() if column is not None}


def _channels(page: Page, wanted: tuple[str, ...] | None) -> dict[str, dict[str, NDArray[np.float32] | list[None]]]:
    """Channels by kind. A channel that was asked for and that nobody measured is a column of nothing."""
    by_channel = np.ascontiguousarray(np.round(page.values, _DIGITS).T)  # (channels, rows)
    groups: dict[str, dict[str, NDArray[np.float32] | list[None]]] = {group: {} for group in _GROUPS.values()}
    for channel, column in zip(page.channels, by_channel, strict=True):
        groups[_GROUPS[channel.kind]][channel.name] = column
    measured = {channel.name for channel in page.channels}
    for name in wanted or ():
        if name not in measured:
            kind = ChannelKind.ACTION_UNIT if name.startswith("AU") else ChannelKind.EXPRESSION
            groups[_GROUPS[kind]][name] = [None] * len(page.event_time)
    return groups


def _table(page: Page, session: Session, wanted: tuple[str, ...] | None) -> dict[str, list[Any]]:
    """All columns side by side, as plain values. Shortest decimals of 32 bits, as orjson writes them."""
    columns = _columns(page, session)
    for group in _channels(page, wanted).values():
        columns |= group
    return {name: _plain(column) for name, column in columns.items()}


def _plain(column: NDArray[Any] | list[Any]) -> list[Any]:
    if isinstance(column, list):
        return column
    if column.dtype == np.float32:
        column = np.round(column.astype(np.float64), _DIGITS)
    return column.tolist()  # type: ignore[no-any-return]


def _gaps(session: Session, gaps: tuple[GapSpan, ...]) -> list[dict[str, Any]]:
    return [{"from": _since(session, gap.begin), "to": _since(session, gap.end), "reason": gap.reason} for gap in gaps]


def origin(session: Session) -> str | None:
    """The instant of t = 0; None where the source carries no date."""
    return instant(session.opened_at) if session.dated else None


def complete_until(session: Session) -> float | None:
    """Seconds since the first frame up to which everything is final."""
    return _since(session, session.complete_until)


def _since(session: Session, event_time: int | None) -> float | None:
    """Seconds since the session's first frame."""
    return None if event_time is None else seconds(event_time - session.opened_at)
