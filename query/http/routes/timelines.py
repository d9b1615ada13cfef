"""What the face of a person did."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from contract.errors import BadRequest
from query.analysis.baseline import Baseline
from query.analysis.formula import Selection, parse_selection
from query.http import bodies, replies
from query.http.direct import DirectRoute
from query.http.parameters import ROWS, PersonId, TimelineQuery
from query.http.problems import documented
from query.http.streams import RowStream
from query.http.times import cursor_of, event_time, parse_cursor, parse_cursor_us, parse_every, parse_time
from query.http.versions import tagged
from query.series import baseline_of, end_of
from query.store import Person, Reader, Session
from query.tables import Rows, Table, timeline_columns, timeline_table
from query.timeline import Page, Wanted, pages, read_page
from query.timeline.grid import DAY_US

ROWS_AT_ONCE = 10_000  # of a stream
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
        router.add_api_route(
            "/v1/people/{person}/timeline",
            self.timeline,
            tags=["people"],
            summary="What the face of a person did, at exactly the asked resolution",
            response_class=Response,
            responses=_RESPONSES | documented(404, 503),
            route_class_override=DirectRoute,
        )

    def timeline(self, request: Request, person: PersonId, query: Annotated[TimelineQuery, Query()]) -> Response:
        """Return a stretch of a timeline."""
        select = parse_selection(query.channels)
        with ExitStack() as stack:
            snapshot = stack.enter_context(self._reader.snapshot())
            found = snapshot.person(person)
            session = snapshot.session(found.source, found.session)
            baseline = baseline_of(snapshot, found, session, query.baseline, select)
            wanted = _wanted(query, found, session, select, baseline)
            if query.limit is None and query.format not in ("columnar", "json-rows"):
                parts = pages(snapshot, session, wanted)
                first = next(parts)
                rows = timeline_rows(first, parts, found, session, select)
                answer = RowStream(query.format, rows, file_name(found.id), stack.pop_all())
                answer.headers.update(_headers(request, session, None))
                return answer
            page = read_page(snapshot, session, wanted)
        return _page(request, query, page, found, session, select)


def _wanted(
    query: TimelineQuery, person: Person, session: Session, select: Selection, baseline: Baseline | None
) -> Wanted:
    begin, end = stretch_of(query.begin, query.end, person, session)
    every = None if query.every is None else parse_every(query.every)
    if query.cursor is not None:
        begin = max(begin, parse_cursor_us(parse_cursor(query.cursor, 1)[0]))
    limit = query.limit or (ROWS if query.format in ("columnar", "json-rows") else ROWS_AT_ONCE)
    return Wanted(
        person=person.id,
        begin=min(begin, end),
        end=end,
        every=every,
        select=select,
        limit=limit,
        statistic=query.statistic,
        threshold=query.threshold,
        zone=zone_of(query.zone, every, session),
        baseline=baseline,
    )


def stretch_of(begin: str | None, end: str | None, person: Person, session: Session) -> tuple[int, int]:
    """Return [begin, end), µs of event time, of `from` and `to`; without them all that is there.

    Raises:
        BadRequest: a time that cannot be understood, or `from` behind `to`.
    """
    first, last = session.opened_at, end_of(person, session)
    if begin is not None:
        first = event_time(parse_time(begin, "from"), session.opened_at, session.dated, "from")
        last = max(first, last)
    if end is not None:
        last = event_time(parse_time(end, "to"), session.opened_at, session.dated, "to")
    if last < first:
        raise BadRequest(f"from={begin or 0} lies behind to={end}; wanted from ≤ to")
    return first, last


def zone_of(zone: str | None, every: int | None, session: Session) -> str | None:
    """Return the zone of calendar days.

    Raises:
        BadRequest: there is no such zone, the source carries no date, or the buckets are no whole days.
    """
    if zone is None:
        return None
    if every is None or every % DAY_US:
        raise BadRequest(f"zone={zone[:40]}: calendar buckets are whole days; wanted every=1d, 7d, …")
    if not session.dated:
        raise BadRequest(f"zone={zone[:40]}: this source carries no date, so it knows no midnight")
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise BadRequest(f"zone={zone[:40]!r}: no such zone; wanted an IANA name such as Europe/Berlin") from error
    return zone


def timeline_rows(first: Page, rest: Iterator[Page], person: Person, session: Session, select: Selection) -> Rows:
    """Return the rows of these pages, with what a file of them must not lose."""
    columns = timeline_columns(first, select)

    def tables() -> Iterator[Table]:
        yield timeline_table(first, person, session, columns)
        for page in rest:
            yield timeline_table(page, person, session, columns)

    return Rows(columns, tables(), {"timeline": bodies.head(first, person, session, None)})


def file_name(text: str) -> str:
    """Return the text as the name of a file, without ending."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:80]


def _page(
    request: Request, query: TimelineQuery, page: Page, person: Person, session: Session, select: Selection
) -> Response:
    """Answer with one page, which may be cut."""
    cursor = None if page.next_time is None else cursor_of(page.next_time)
    headers = _headers(request, session, cursor)
    if query.format == "columnar" or query.format == "json-rows":
        encode = bodies.rows if query.format == "json-rows" else bodies.columnar
        body = encode(page, person, session, cursor, select.names)
        if session.closed:
            return tagged(request, body, headers)
        return Response(body, headers=headers, media_type="application/json")
    answer = RowStream(query.format, timeline_rows(page, iter(()), person, session, select), file_name(person.id))
    answer.headers.update(headers)
    return answer


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
