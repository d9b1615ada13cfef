"""What the face of a person did."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request, Response

from contract.errors import BadRequest
from contract.labels import ACTION_UNITS, EXPRESSIONS
from query.http import bodies, replies
from query.http.parameters import ROWS, PersonId, TimelineQuery
from query.http.problems import documented
from query.http.streams import RowStream
from query.http.times import cursor_of, event_time, parse_cursor, parse_cursor_us, parse_every, parse_time
from query.store import Person, Reader, Session
from query.tables import Rows, Table, channel_names, timeline_columns, timeline_table
from query.timeline import Page, Wanted, pages, read_page

ROWS_AT_ONCE = 10_000  # of a stream
_CHANNELS = frozenset(EXPRESSIONS + ACTION_UNITS)
_CUT_HEADERS = {
    "Link": {"description": 'rel="next": the next page, where the answer was cut', "schema": {"type": "string"}},
    "Mien-Complete-Until": {"description": "As `complete_until`, in seconds", "schema": {"type": "number"}},
    "Mien-Origin": {"description": "As `origin`; absent for an undated source", "schema": {"type": "string"}},
}
_TEXT, _BINARY = {"schema": {"type": "string"}}, {"schema": {"type": "string", "format": "binary"}}
ROW_CONTENT = {
    "text/csv": _TEXT,
    "application/x-ndjson": _TEXT,
    "application/vnd.apache.parquet": _BINARY,
    "application/vnd.apache.arrow.stream": _BINARY,
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stretch of the timeline, in the format asked for",
        "model": replies.TimelineReply | replies.TimelineRows,
        "content": ROW_CONTENT,
        "headers": _CUT_HEADERS,
    }
}


class TimelineRoutes:
    """`/v1/people/{person}/timeline`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mount(self, router: APIRouter) -> None:
        """Add the address."""
        router.get(
            "/v1/people/{person}/timeline",
            tags=["people"],
            summary="What the face of a person did, at exactly the asked resolution",
            response_class=Response,
            responses=_RESPONSES | documented(404, 503),
        )(self.timeline)

    def timeline(self, request: Request, person: PersonId, query: Annotated[TimelineQuery, Query()]) -> Response:
        """Return a stretch of a timeline."""
        names = channels_of(query.channels)
        with ExitStack() as stack:
            snapshot = stack.enter_context(self._reader.snapshot())
            found = snapshot.person(person)
            session = snapshot.session(found.source, found.session)
            wanted = _wanted(query, found, session, names)
            if query.limit is None and query.format not in ("columnar", "json-rows"):
                parts = pages(snapshot, session, wanted)
                first = next(parts)
                answer = _whole(query, first, parts, found, session, stack.pop_all())
                answer.headers.update(_headers(request, session, None))
                return answer
            page = read_page(snapshot, session, wanted)
        return _page(request, query, page, found, session)


def channels_of(text: str | None) -> tuple[str, ...] | None:
    """Return the channels asked for, each once; None: all that were measured.

    Raises:
        BadRequest: a name that no net knows.
    """
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
    limit = query.limit or (ROWS if query.format in ("columnar", "json-rows") else ROWS_AT_ONCE)
    return Wanted(person=person.id, begin=min(begin, end), end=end, every=every, channels=names, limit=limit)


def _page(request: Request, query: TimelineQuery, page: Page, person: Person, session: Session) -> Response:
    """Answer with one page, which may be cut."""
    names = channels_of(query.channels)
    cursor = None if page.next_time is None else cursor_of(page.next_time)
    headers = _headers(request, session, cursor)
    if query.format == "columnar" or query.format == "json-rows":
        encode = bodies.rows if query.format == "json-rows" else bodies.columnar
        body = encode(page, person, session, cursor, names)
        return Response(body, headers=headers, media_type="application/json")
    answer = RowStream(query.format, _rows(page, iter(()), person, session, names), _file_name(person))
    answer.headers.update(headers)
    return answer


def _whole(
    query: TimelineQuery, first: Page, rest: Iterator[Page], person: Person, session: Session, held: ExitStack
) -> Response:
    """Answer with all rows; the state of the store is held until the last one is out."""
    rows = _rows(first, rest, person, session, channels_of(query.channels))
    return RowStream(query.format, rows, _file_name(person), held)


def _rows(first: Page, rest: Iterator[Page], person: Person, session: Session, names: tuple[str, ...] | None) -> Rows:
    columns = timeline_columns(first.every, channel_names(first.channels, names))

    def tables() -> Iterator[Table]:
        yield timeline_table(first, person, session, columns)
        for page in rest:
            yield timeline_table(page, person, session, columns)

    return Rows(columns, tables(), {"timeline": bodies.head(first, person, session, None)})


def _file_name(person: Person) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", person.id)[:80]


def _headers(request: Request, session: Session, cursor: str | None) -> dict[str, str]:
    headers = {}
    if cursor is not None:
        asked = dict(request.query_params) | {"cursor": cursor}
        path = quote(request.scope["raw_path"], safe="/%:@!$&'()*+,;=~")
        headers["Link"] = f'<{path}?{urlencode(asked)}>; rel="next"'
    if (until := replies.complete_until(session)) is not None:
        headers["Mien-Complete-Until"] = repr(until)
    if (begins := replies.origin(session)) is not None:
        headers["Mien-Origin"] = begins
    return headers
