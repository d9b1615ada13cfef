"""Whole studies: timelines, episodes, summaries and responses of many people in one table."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Body, Query, Response
from pydantic import Field

from contract.errors import BadRequest
from query.analysis.episodes import Rule
from query.analysis.formula import parse_selection
from query.analysis.responses import Window
from query.http.parameters import BASELINE, CHANNELS, Parameters, TableFormat
from query.http.problems import documented
from query.http.routes.timelines import ROW_CONTENT
from query.http.streams import RowStream
from query.http.times import parse_every
from query.store import Reader, Snapshot
from query.study import NO_KEYS, Whom, episode_rows, response_rows, summary_rows, timeline_study
from query.study.responses import parse_markers
from query.tables import Rows, Table

MOST_MARKER_BYTES = 1_000_000
_ROWS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Rows: in JSON under `rows`, with `settings` and `left_out`; whole in every format",
        "content": {"application/json": {"schema": {"type": "object"}}, **ROW_CONTENT},
    }
}


class ManyQuery(Parameters):
    """Whose rows, of which values, in which format."""

    source: str | None = Field(None, max_length=4_096, description="Only people of this source")
    person: list[str] = Field([], max_length=1_000, description="Only these people; may be repeated")
    channels: str | None = CHANNELS
    format: Literal["json"] | TableFormat = Field("json", description="JSON, or rows as a file")

    @property
    def whom(self) -> Whom:
        """Return the people asked for."""
        return Whom(self.source, tuple(self.person))


class StudyQuery(ManyQuery):
    """Less each face at rest."""

    baseline: str | None = BASELINE


class ExportQuery(StudyQuery):
    """Timelines of many people."""

    every: str | None = Field(None, max_length=32, description="Length of a bucket; without it, the points themselves")
    format: Literal["json"] | TableFormat = Field("csv", description="Rows as a file; JSON for few people")


class EpisodeQuery(StudyQuery):
    """When an episode begins and ends."""

    channels: str | None = CHANNELS
    on: float = Field(0.5, ge=-1_000, le=1_000, description="An episode begins with a value of at least this")
    off: float | None = Field(None, ge=-1_000, le=1_000, description="It ends with one below this; without it, `on`")
    least: float = Field(0.0, ge=0, le=86_400, description="Shorter ones are left out; seconds")

    @property
    def rule(self) -> Rule:
        """Return the rule asked for; raises BadRequest."""
        return Rule(on=self.on, off=self.on if self.off is None else self.off, least_s=self.least)


class SummaryQuery(EpisodeQuery):
    """One row per person; episodes are counted where `on` is given."""

    on: float | None = Field(None, ge=-1_000, le=1_000, description="Count episodes of at least this value too")  # type: ignore[assignment]


class ResponseQuery(ManyQuery):
    """The window around a marker."""

    window: str = Field("-1..5", max_length=40, description="FROM..TO around the marker, seconds", examples=["-1..5"])
    step: float = Field(0.1, gt=0, le=3_600, description="Length of a bin, seconds")


class StudyRoutes:
    """`/v1/export`, `/v1/episodes`, `/v1/summary`, `/v1/responses`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mount(self, router: APIRouter) -> None:
        """Add the addresses."""
        responses = _ROWS | documented(404, 503)
        answers: dict[str, Any] = {"response_class": Response, "responses": responses, "tags": ["studies"]}
        router.get("/v1/export", summary="Timelines of many people, one under the other", **answers)(self.export)
        router.get("/v1/episodes", summary="When values rise over a threshold and stay", **answers)(self.episodes)
        router.get("/v1/summary", summary="One row per person", **answers)(self.summary)
        router.post("/v1/responses", summary="What people do around events", **answers)(self.responses)

    def export(self, query: Annotated[ExportQuery, Query()]) -> Response:
        """Return the timelines of many people."""
        every = None if query.every is None else parse_every(query.every)
        select = parse_selection(query.channels)
        return self._answer(
            query, "export", lambda store: timeline_study(store, query.whom, NO_KEYS, select, every, query.baseline)
        )

    def episodes(self, query: Annotated[EpisodeQuery, Query()]) -> Response:
        """Return the episodes of many people."""
        select, rule = parse_selection(query.channels), query.rule
        return self._answer(
            query, "episodes", lambda store: episode_rows(store, query.whom, NO_KEYS, select, rule, query.baseline)
        )

    def summary(self, query: Annotated[SummaryQuery, Query()]) -> Response:
        """Return one row per person."""
        select, rule = parse_selection(query.channels), None if query.on is None else query.rule
        return self._answer(
            query, "summary", lambda store: summary_rows(store, query.whom, NO_KEYS, select, rule, query.baseline)
        )

    def responses(
        self,
        query: Annotated[ResponseQuery, Query()],
        markers: Annotated[bytes, Body(media_type="text/csv", description="Columns t, and marker, source if needed")],
    ) -> Response:
        """Return the mean response to the markers of the body; nothing of it is stored."""
        if len(markers) > MOST_MARKER_BYTES:
            raise BadRequest(f"markers of {len(markers):,} bytes; wanted at most {MOST_MARKER_BYTES:,}")
        try:
            found = parse_markers(markers.decode())
        except UnicodeDecodeError as error:
            raise BadRequest("markers: wanted a CSV in UTF-8") from error
        select, window = parse_selection(query.channels), window_of(query.window, query.step)
        return self._answer(query, "responses", lambda store: response_rows(store, query.whom, found, select, window))

    def _answer(self, query: ManyQuery, name: str, rows_of: Callable[[Snapshot], Rows]) -> Response:
        """Answer with the rows of one state of the store: streamed, or as one JSON document."""
        with ExitStack() as stack:
            rows = rows_of(stack.enter_context(self._reader.snapshot()))
            if query.format != "json":
                return RowStream(query.format, _begun(rows), name, stack.pop_all())
            names = [column.name for column in rows.columns]
            lines = [
                dict(zip(names, line, strict=True))
                for table in rows.tables
                for line in zip(*table.plain(), strict=True)
            ]
        body = {"rows": lines, "left_out": rows.left_out, **rows.metadata}
        return Response(orjson.dumps(body), media_type="application/json")


def window_of(text: str, step: float) -> Window:
    """Return the window `FROM..TO`, s.

    Raises:
        BadRequest: it is none.
    """
    low, _, high = text.partition("..")
    try:
        return Window(float(low), float(high), step)
    except ValueError as error:
        raise BadRequest(f"window={text[:40]!r}: wanted FROM..TO in seconds, such as -1..5") from error


def _begun(rows: Rows) -> Rows:
    """Return the rows with the first table read, so that what is wrong with it is answered as usual."""
    tables = iter(rows.tables)
    first = next(tables, None)

    def all_tables() -> Iterator[Table]:
        if first is not None:
            yield first
        yield from tables

    return Rows(rows.columns, all_tables(), rows.metadata, rows.left_out)
