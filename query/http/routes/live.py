"""What people show now: the last reading of each, and a stream of all that comes."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from contract.errors import BadRequest
from query.analysis.formula import Selection, parse_selection
from query.http.bodies import channel_groups
from query.http.parameters import CHANNELS, Parameters
from query.http.problems import documented, problem
from query.live.feed import Feed, Follower
from query.live.news import Batch, parse_position, position_text, ready
from query.store import Person, Reader, Session, Snapshot
from query.timeline import Page, Wanted, read_page

KEPT = 128  # encoded batches: many readers ask for the same
_RETRY_MS = 1_000
_LATEST: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`people`: each with person, source, session, t, behind, box_xywh, quality and channels by kind",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `readings`, `closed`, `dropped`; described in docs/api.md",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class LatestQuery(Parameters):
    """Whose last reading."""

    source: str | None = Field(None, max_length=4_096, description="Only people of this source")
    within: float = Field(10.0, gt=0, le=86_400, description="Only people seen in this many last seconds of a session")
    channels: str | None = CHANNELS


class LiveQuery(Parameters):
    """Which readings to send."""

    source: str | None = Field(None, max_length=4_096, description="Only readings of this source")
    person: list[str] = Field([], max_length=1_000, description="Only readings of these people; may be repeated")
    channels: str | None = CHANNELS
    after: float | None = Field(
        None,
        ge=-1e9,
        le=1e9,
        description="Begin here, in seconds since the first frame of each open session; without it, now. The header "
        "`Last-Event-ID` goes before it",
    )


class LiveRoutes:
    """`/v1/latest` and `/v1/live`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._feed = Feed(reader)
        self._encoded: OrderedDict[object, bytes] = OrderedDict()

    def mount(self, router: APIRouter) -> None:
        """Add the addresses."""
        router.get(
            "/v1/latest",
            tags=["live"],
            summary="The last reading of everybody in sight",
            response_class=Response,
            responses=documented(503) | _LATEST,
        )(self.latest)
        router.get(
            "/v1/live",
            tags=["live"],
            summary="Readings as they come",
            response_class=Response,
            responses=_STREAM | documented(503),
        )(self.live)

    def latest(self, query: Annotated[LatestQuery, Query()]) -> Response:
        """Return the last reading of each person whom an open session shows."""
        select = parse_selection(query.channels)
        with self._reader.snapshot() as snapshot:
            rows = [
                row
                for each in ready(snapshot, set()).values()
                if query.source in (None, each.session.source)
                for person in each.people
                if person.last_time >= each.until - round(query.within * 1e6)
                for row in _last(snapshot, each.session, person, each.until, select)
            ]
        return Response(orjson.dumps({"people": rows}), media_type="application/json")

    async def live(
        self,
        request: Request,
        query: Annotated[LiveQuery, Query()],
        last_event_id: Annotated[str | None, Header(max_length=65_536, description="`id` of the last event")] = None,
    ) -> Response:
        """Send readings as they come, from the position of the last event on without a hole and without repetition."""
        select = parse_selection(query.channels)
        if select.formulas:
            raise BadRequest("channels: the stream has no formulas; wanted names of channels")
        positions = parse_position(last_event_id) if last_event_id else None
        if self._feed.is_full:
            answer = problem(request, 503, "too-many-readers", "Too many readers", "no room for another stream")
            answer.headers["Retry-After"] = "10"
            return answer
        follower = await self._feed.join(positions, query.after)
        return StreamingResponse(self._events(query, select, follower), media_type="text/event-stream")

    async def _events(self, query: LiveQuery, select: Selection, follower: Follower) -> AsyncIterator[bytes]:
        yield f"retry: {_RETRY_MS}\nevent: ready\n".encode() + _event(follower, b"{}")
        async for batch in self._feed.follow(follower):
            if batch is None:
                yield b": still here\n\n"
                continue
            if data := self._data(batch, query, select):
                yield b"event: readings\n" + _event(follower, data)
            if batch.is_last and query.source in (None, batch.session.source):
                last = orjson.dumps({"source": batch.session.source, "session": batch.session.id})
                yield b"event: closed\n" + _event(follower, last)
        detail = "readings came faster than they were read; come back with the last id"
        reason = {"reason": "too slow", "detail": detail}
        yield b"event: dropped\ndata: " + orjson.dumps(reason) + b"\n\n"

    def _data(self, batch: Batch, query: LiveQuery, select: Selection) -> bytes:
        """Return the readings of a batch that were asked for, encoded once for all who ask for the same."""
        if query.source not in (None, batch.session.source):
            return b""
        key = (batch.key, batch.begin, batch.end, select.names, tuple(query.person))
        if key not in self._encoded:
            people = [
                {"person": person.id, **_columns(page, batch.session, select)}
                for person, page in batch.people
                if not query.person or person.id in query.person
            ]
            head = {"source": batch.session.source, "session": batch.session.id}
            body = orjson.dumps(head | {"people": people}, option=orjson.OPT_SERIALIZE_NUMPY) if people else b""
            self._encoded[key] = body
            if len(self._encoded) > KEPT:
                self._encoded.popitem(last=False)
        return self._encoded[key]


def _last(snapshot: Snapshot, session: Session, person: Person, until: int, select: Selection) -> list[dict[str, Any]]:
    """Return the last reading of a person; an empty list where it has expired."""
    begin, end = person.last_time, max(until, person.last_time + 1)
    page = read_page(
        snapshot, session, Wanted(person=person.id, begin=begin, end=end, every=None, select=select, limit=100_000)
    )
    if not len(page.event_time):
        return []
    assert page.box_xywh is not None
    values = {
        group: {name: _plain(column[-1]) for name, column in columns.items()}
        for group, columns in channel_groups(page).items()
    }
    t = int(page.event_time[-1])
    return [
        {
            "person": person.id,
            "source": session.source,
            "session": session.id,
            "t": (t - session.opened_at) / 1e6,
            "behind": (until - t) / 1e6,
            "box_xywh": [float(each) for each in page.box_xywh[-1]],
            "quality": round(float(page.quality[-1]), 5),
            **values,
        }
    ]


def _plain(value: np.float32) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


def _columns(page: Page, session: Session, select: Selection) -> dict[str, Any]:
    """Return the columns of points, the channels by kind."""
    wanted = [place for place, each in enumerate(page.channels) if select.names is None or each.name in select.names]
    kept = {page.channels[place].name for place in wanted}
    groups = {
        group: {name: np.ascontiguousarray(column) for name, column in columns.items() if name in kept}
        for group, columns in channel_groups(page).items()
    }
    return {
        "t": (page.event_time - session.opened_at) / 1e6,
        "frame": page.frame,
        "box_xywh": page.box_xywh,
        "quality": np.round(page.quality, 5),
        **groups,
    }


def _event(follower: Follower, data: bytes) -> bytes:
    return f"id: {position_text(follower.positions)}\n".encode() + b"data: " + data + b"\n\n"
