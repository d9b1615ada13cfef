"""Sources, people and pictures."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from contract.errors import NotFound
from query.http import replies
from query.http.direct import DirectRoute
from query.http.parameters import NoQuery, PeopleQuery, PersonId
from query.http.problems import documented
from query.http.times import cursor_of, event_time, parse_cursor, parse_cursor_us, parse_time
from query.http.versions import Kept
from query.store import PeopleAfter, Person, Reader, Session, Snapshot

_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture", "content": {"image/jpeg": {"schema": {"type": "string"}}}}
}


class PeopleRoutes:
    """`/v1/sources`, `/v1/people` and what lies under a person, but for timelines."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept = Kept()

    def mount(self, router: APIRouter) -> None:
        """Add the addresses."""
        sources = documented(503) | _of(replies.SourcesReply)
        people = documented(503) | _of(replies.PeopleReply)
        # These two are written straight from values: a model per person costs ten times as much as the reading of it.
        router.add_api_route(
            "/v1/sources",
            self.sources,
            tags=["sources"],
            summary="All sources and their sessions",
            response_class=Response,
            responses=sources,
            route_class_override=DirectRoute,
        )
        router.add_api_route(
            "/v1/people",
            self.people,
            tags=["people"],
            summary="People by source and time",
            response_class=Response,
            responses=people,
            route_class_override=DirectRoute,
        )
        router.get("/v1/people/{person}", tags=["people"], summary="One person", responses=documented(404, 503))(
            self.person
        )
        router.get(
            "/v1/people/{person}/picture",
            tags=["people"],
            summary="A small picture of the face, where pictures may be kept",
            response_class=Response,
            responses=documented(404, 503) | _PICTURE,
        )(self.picture)

    def sources(self, request: Request, query: Annotated[NoQuery, Query()]) -> Response:
        """List all sources, their sessions and gaps."""
        with self._reader.snapshot() as store:
            version = store.version()
            return self._kept.answer(
                request,
                version,
                lambda: orjson.dumps(replies.source_rows(store.sessions(), store.headcounts())),
            )

    def people(self, request: Request, query: Annotated[PeopleQuery, Query()]) -> Response:
        """List a page of people."""
        root_path = request.scope.get("root_path", "")
        with self._reader.snapshot() as store:
            version = store.version()
            return self._kept.answer(request, version, lambda: orjson.dumps(_people(store, query, root_path)))

    def person(self, request: Request, person: PersonId, query: Annotated[NoQuery, Query()]) -> replies.PersonReply:
        """Return when a person was seen."""
        with self._reader.snapshot() as snapshot:
            found = snapshot.person(person)
            session = snapshot.session(found.source, found.session)
        return replies.PersonReply.model_validate(_row(found, session, request.scope.get("root_path", "")))

    def picture(self, person: PersonId, query: Annotated[NoQuery, Query()]) -> Response:
        """Return the picture of a person.

        Raises:
            NotFound: no such person, or no picture of them may be kept.
        """
        with self._reader.snapshot() as snapshot:
            snapshot.person(person)
            jpeg = snapshot.picture(person)
        if jpeg is None:
            raise NotFound(f"no picture of {person[:80]!r} is kept")
        return Response(jpeg, media_type="image/jpeg")


def _of(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that writes what this model describes."""
    return {200: {"description": "As described", "model": model}}


def _people(snapshot: Snapshot, query: PeopleQuery, root_path: str) -> dict[str, Any]:
    """Return what `PeopleReply` holds."""
    after = None
    if query.cursor is not None:
        source, first_time, name = parse_cursor(query.cursor, 3)
        after = PeopleAfter(source, parse_cursor_us(first_time), name)
    session_of = cache(snapshot.session)
    page, cursor = list[dict[str, Any]](), None
    last: Person | None = None
    for person in _seen_between(snapshot.people(query.source, after), query, session_of):
        if len(page) == query.limit and last is not None:
            cursor = cursor_of(last.source, last.first_time, last.id)
            break
        page.append(_row(person, session_of(person.source, person.session), root_path))
        last = person
    return {"people": page, "next": cursor}


def _seen_between(people: Iterator[Person], query: PeopleQuery, session_of: Any) -> Iterator[Person]:
    """Yield those seen in [from, to); a date leaves out people of sources without one."""
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


def _row(person: Person, session: Session, root_path: str) -> dict[str, Any]:
    return replies.person_row(person, session, f"{root_path}/v1/people/{quote(person.id, safe='')}/picture")
