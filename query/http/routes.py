"""The addresses under /v1, and health."""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contract.errors import BadRequest, NotFound
from contract.labels import ACTION_UNITS, EXPRESSIONS
from query.http import bodies, replies
from query.http.problems import documented
from query.http.times import cursor_of, event_time, parse_cursor, parse_cursor_us, parse_every, parse_time
from query.store import PeopleAfter, Person, Reader, Session, Snapshot
from query.timeline import Page, Wanted, read_page

MOST_ROWS = 100_000
_CHANNELS = frozenset(EXPRESSIONS + ACTION_UNITS)
_TIME: dict[str, Any] = {"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}
_TIME_RULE = (
    "A number is seconds since the first frame of the session, as `t` in the answers; "
    "a date is ISO 8601 with a zone and needs a dated source. Nothing else is guessed."
)


class _Parameters(BaseModel):
    """A misspelt parameter is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")


class PeopleQuery(_Parameters):
    """What people to list."""

    source: str | None = Field(None, max_length=4_096, description="Only people of this source", examples=["door"])
    begin: str | None = Field(
        None,
        alias="from",
        max_length=64,
        description="Only people seen at this time or later. " + _TIME_RULE,
        examples=["0", "2026-11-21T09:30:00Z"],
        json_schema_extra=_TIME,
    )
    end: str | None = Field(
        None,
        alias="to",
        max_length=64,
        description="Only people first seen before this time. " + _TIME_RULE,
        examples=["60.5", "2026-11-21T10:30:00+01:00"],
        json_schema_extra=_TIME,
    )
    limit: int = Field(100, ge=1, le=1_000, description="People per page")
    cursor: str | None = Field(None, max_length=8_192, description="`next` of the page before")


class TimelineQuery(_Parameters):
    """What part of a timeline, at what resolution."""

    begin: str | None = Field(
        None,
        alias="from",
        max_length=64,
        description="Begin, inclusive; without it the first frame. " + _TIME_RULE,
        examples=["12.5", "2026-11-21T09:30:00Z"],
        json_schema_extra=_TIME,
    )
    end: str | None = Field(
        None,
        alias="to",
        max_length=64,
        description="End, exclusive; without it the end of all that is there. " + _TIME_RULE,
        examples=["60", "2026-11-21T09:31:00Z"],
        json_schema_extra=_TIME,
    )
    every: str | None = Field(
        None,
        max_length=32,
        description="Length of a bucket, exactly as asked: `200ms`, `0.2s`, `1m`, `1h` or a number of seconds, from "
        "1 ms to 366 days. Buckets are aligned to `from`. Without it: the points themselves",
        examples=["0.2s", "1m", "0.5"],
    )
    channels: str | None = Field(
        None,
        max_length=1_024,
        description="Names with commas between; without it all that were measured. "
        f"Known: {', '.join(EXPRESSIONS + ACTION_UNITS)}",
        examples=["happiness,AU12"],
    )
    format: Literal["columnar", "json-rows", "csv"] = Field(
        "columnar", description="One array per column, one object per row, or text with commas"
    )
    limit: int = Field(
        10_000, ge=1, le=MOST_ROWS, description="Most points or buckets per answer; what is cut is told by `next`"
    )
    cursor: str | None = Field(None, max_length=128, description="`next` of the page before, all else unchanged")


PersonId = Annotated[str, Path(max_length=4_096, description="Id of a person, as in the list of people")]
_CUT_HEADERS = {
    "Link": {"description": 'rel="next": the next page, where the answer was cut', "schema": {"type": "string"}},
    "Mien-Complete-Until": {"description": "As `complete_until`, in seconds", "schema": {"type": "number"}},
    "Mien-Origin": {"description": "As `origin`; absent for an undated source", "schema": {"type": "string"}},
}
_TIMELINE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stretch of the timeline, in the format asked for",
        "model": replies.TimelineReply | replies.TimelineRows,
        "content": {"text/csv": {"schema": {"type": "string"}}},
        "headers": _CUT_HEADERS,
    }
}


def routes(reader: Reader) -> APIRouter:
    """All addresses that answer from this store."""
    router = APIRouter(responses=documented(400, 500))
    _add_health(router, reader)
    _add_lists(router, reader)
    _add_person(router, reader)
    return router


def _add_health(router: APIRouter, reader: Reader) -> None:
    @router.get("/healthz", tags=["health"], summary="Is the process alive?")
    def health() -> replies.Health:
        return replies.Health()

    @router.get("/readyz", tags=["health"], summary="Can the store be read?", responses=documented(503))
    def ready() -> replies.Health:
        with reader.snapshot():
            return replies.Health()


def _add_lists(router: APIRouter, reader: Reader) -> None:
    @router.get("/v1/sources", tags=["sources"], summary="All sources and their sessions", responses=documented(503))
    def sources() -> replies.SourcesReply:
        with reader.snapshot() as snapshot:
            return replies.source_replies(snapshot.sessions(), snapshot.headcounts())

    @router.get("/v1/people", tags=["people"], summary="People by source and time", responses=documented(422, 503))
    def people(query: Annotated[PeopleQuery, Query()]) -> replies.PeopleReply:
        with reader.snapshot() as snapshot:
            return _people(snapshot, query)


def _add_person(router: APIRouter, reader: Reader) -> None:
    @router.get("/v1/people/{person}", tags=["people"], summary="One person", responses=documented(404, 422, 503))
    def person(person: PersonId) -> replies.PersonReply:
        with reader.snapshot() as snapshot:
            found = snapshot.person(person)
            return _person(found, snapshot.session(found.source, found.session))

    @router.get(
        "/v1/people/{person}/picture",
        tags=["people"],
        summary="A small picture of the face, where pictures may be kept",
        response_class=Response,
        responses=documented(404, 422, 503)
        | {200: {"description": "The picture", "content": {"image/jpeg": {"schema": {"type": "string"}}}}},
    )
    def picture(person: PersonId) -> Response:
        with reader.snapshot() as snapshot:
            snapshot.person(person)
            jpeg = snapshot.picture(person)
        if jpeg is None:
            raise NotFound(f"no picture of {person[:80]!r} is kept")
        return Response(jpeg, media_type="image/jpeg")

    @router.get(
        "/v1/people/{person}/timeline",
        tags=["people"],
        summary="What the face of a person did, at exactly the asked resolution",
        response_class=Response,
        responses=_TIMELINE_RESPONSES | documented(404, 422, 503),
    )
    def timeline(request: Request, person: PersonId, query: Annotated[TimelineQuery, Query()]) -> Response:
        names = _names(query.channels)
        with reader.snapshot() as snapshot:
            found = snapshot.person(person)
            session = snapshot.session(found.source, found.session)
            page = read_page(snapshot, session, _wanted(query, found, session, names))
        return _timeline(request, query, page, found, session, names)


def _people(snapshot: Snapshot, query: PeopleQuery) -> replies.PeopleReply:
    after = None
    if query.cursor is not None:
        source, first_time, name = parse_cursor(query.cursor, 3)
        after = PeopleAfter(source, parse_cursor_us(first_time), name)
    session_of = cache(snapshot.session)
    page, cursor = list[replies.PersonReply](), None
    last: Person | None = None
    for person in _seen_between(snapshot.people(query.source, after), query, session_of):
        if len(page) == query.limit and last is not None:
            cursor = cursor_of(last.source, last.first_time, last.id)
            break
        page.append(_person(person, session_of(person.source, person.session)))
        last = person
    return replies.PeopleReply(people=page, next=cursor)


def _seen_between(people: Iterator[Person], query: PeopleQuery, session_of: Any) -> Iterator[Person]:
    """Those seen in [from, to); a date leaves out people of sources without one."""
    begin = None if query.begin is None else parse_time(query.begin, "from")
    end = None if query.end is None else parse_time(query.end, "to")
    for person in people:
        session: Session = session_of(person.source, person.session)
        if not session.dated and (isinstance(begin, datetime) or isinstance(end, datetime)):
            continue
        if begin is not None and person.last_time < event_time(begin, session.opened_at, session.dated, "from"):
            continue
        if end is not None and person.first_time >= event_time(end, session.opened_at, session.dated, "to"):
            continue
        yield person


def _person(person: Person, session: Session) -> replies.PersonReply:
    return replies.person_reply(person, session, f"/v1/people/{quote(person.id, safe='')}/picture")


def _names(text: str | None) -> tuple[str, ...] | None:
    """The channels asked for, each once."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in _CHANNELS]:
        raise BadRequest(f"channels: no channel {unknown[0][:40]!r}; known are {', '.join(EXPRESSIONS + ACTION_UNITS)}")
    return names


def _wanted(query: TimelineQuery, person: Person, session: Session, names: tuple[str, ...] | None) -> Wanted:
    begin, end = session.opened_at, max(person.last_time + 1, session.complete_until or session.opened_at)
    if query.begin is not None:
        begin = event_time(parse_time(query.begin, "from"), session.opened_at, session.dated, "from")
        end = max(begin, end)
    if query.end is not None:
        end = event_time(parse_time(query.end, "to"), session.opened_at, session.dated, "to")
    if end < begin:
        raise BadRequest(f"from={query.begin or 0} lies behind to={query.end}; wanted from ≤ to")
    every = None if query.every is None else parse_every(query.every)
    if query.cursor is not None:
        begin = max(begin, parse_cursor_us(parse_cursor(query.cursor, 1)[0]))
    return Wanted(person=person.id, begin=min(begin, end), end=end, every=every, channels=names, limit=query.limit)


def _timeline(
    request: Request, query: TimelineQuery, page: Page, person: Person, session: Session, names: tuple[str, ...] | None
) -> Response:
    cursor = None if page.next_time is None else cursor_of(page.next_time)
    headers = _cut_headers(request, replies.complete_until(session), replies.origin(session), cursor)
    if query.format == "csv":
        filename = re.sub(r"[^A-Za-z0-9._-]+", "-", person.id)[:80]
        headers["Content-Disposition"] = f'attachment; filename="{filename}.csv"'
        return Response(bodies.csv(page, session, names), headers=headers, media_type="text/csv")
    encode = bodies.rows if query.format == "json-rows" else bodies.columnar
    body = encode(page, person, session, cursor, names)
    return Response(body, headers=headers, media_type="application/json")


def _cut_headers(request: Request, until: float | None, origin: str | None, cursor: str | None) -> dict[str, str]:
    headers = {}
    if cursor is not None:
        asked = dict(request.query_params) | {"cursor": cursor}
        headers["Link"] = f'<{quote(request.url.path)}?{urlencode(asked)}>; rel="next"'
    if until is not None:
        headers["Mien-Complete-Until"] = repr(until)
    if origin is not None:
        headers["Mien-Origin"] = origin
    return headers
