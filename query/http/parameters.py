"""What the routes take: every parameter with its type, bounds and meaning; what is not listed is refused."""

from typing import Annotated, Any, Literal

from fastapi import Path, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contract.errors import BadRequest
from contract.labels import ACTION_UNITS, EXPRESSIONS
from query.http.fence import segment
from query.timeline import Statistic

MOST_ROWS = 100_000
ROWS = 10_000  # of a JSON answer, unless asked otherwise
_TIME: dict[str, Any] = {"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}
_TIME_RULE = (
    "A number is seconds since the first frame of the session, as `t` in the answers; "
    "a date is ISO 8601 with a zone and needs a dated source. Nothing else is guessed."
)

TableFormat = Literal["csv", "ndjson", "parquet", "arrow"]


def _digits(value: object) -> object:
    """Refuse what Python reads as a number and nobody writes as one: `1_000`, ` 5`, digits of other scripts."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError(f"{value[:40]!r} is not a whole number")
    return value


Count = Annotated[int, BeforeValidator(_digits)]
PersonId = Annotated[
    str, BeforeValidator(segment), Path(max_length=4_096, description="Id of a person, as in the list of people")
]


class Parameters(BaseModel):
    """A misspelt parameter is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")


def time_field(description: str, alias: str, example: str) -> Any:
    """Return the field of a time parameter: a number of seconds, or a date with a zone."""
    return Field(
        None,
        alias=alias,
        max_length=64,
        description=f"{description} {_TIME_RULE}",
        examples=[example, "2026-11-21T09:30:00Z"],
        json_schema_extra=_TIME,
    )


CHANNELS: Any = Field(
    None,
    max_length=1_024,
    description="Names and formulas with commas between; without it all that were measured. "
    f"Known: {', '.join(EXPRESSIONS + ACTION_UNITS)}; a formula has + - * / ( ) min max abs",
    examples=["happiness,AU12", "smile=AU12+0.5*AU6"],
)
BASELINE: Any = Field(
    None,
    max_length=4_200,
    description="Take a face at rest off all values: `auto` finds it, `FROM..TO` is the mean of a stretch in seconds, "
    "`ID` or `ID@FROM..TO` that of another person",
    examples=["auto", "0..5"],
)


class PeopleQuery(Parameters):
    """What people to list."""

    source: str | None = Field(None, max_length=4_096, description="Only people of this source", examples=["door"])
    begin: str | None = time_field("Only people seen at this time or later.", "from", "0")
    end: str | None = time_field("Only people first seen before this time.", "to", "60.5")
    limit: Count = Field(100, ge=1, le=10_000, description="People per page")
    cursor: str | None = Field(None, max_length=8_192, description="`next` of the page before")


class TimelineQuery(Parameters):
    """What part of a timeline, at what resolution."""

    begin: str | None = time_field("Begin, inclusive; without it the first frame.", "from", "12.5")
    end: str | None = time_field("End, exclusive; without it the end of all that is there.", "to", "60")
    every: str | None = Field(
        None,
        max_length=32,
        description="Length of a bucket, exactly as asked: `200ms`, `0.2s`, `1m`, `1h`, `1d` or a number of seconds, "
        "from 1 ms to 366 days. Buckets are aligned to `from`. Without it: the points themselves",
        examples=["0.2s", "1m", "0.5"],
    )
    channels: str | None = CHANNELS
    statistic: Statistic = Field(
        Statistic.MEAN, description="Buckets: mean, smallest or largest value, or the share of readings ≥ `threshold`"
    )
    threshold: float = Field(0.5, ge=-1_000, le=1_000, description="Of `statistic=share`")
    zone: str | None = Field(
        None,
        max_length=64,
        description="Buckets of whole days begin at the midnights of this zone (IANA name); needs a dated source",
        examples=["Europe/Berlin"],
    )
    baseline: str | None = BASELINE
    format: Literal["columnar", "json-rows"] | TableFormat = Field(
        "columnar",
        description="JSON with one array per column or one object per row; rows as CSV, NDJSON, Parquet or an Arrow "
        "stream, which are whole unless `limit` is given",
    )
    limit: Count | None = Field(
        None,
        ge=1,
        le=MOST_ROWS,
        description=f"Most points or buckets per answer; in JSON {ROWS:,} unless given. `next` shows what is cut",
    )
    cursor: str | None = Field(None, max_length=128, description="`next` of the page before, all else unchanged")


class NoQuery(Parameters):
    """No parameters."""


async def each_once(request: Request) -> None:
    """Check that no parameter of the request comes twice, where one value counts.

    Raises:
        BadRequest: it does; which one was meant cannot be known.
    """
    seen = set[str]()
    for name, _ in request.query_params.multi_items():
        if name in seen and name not in REPEATABLE:
            raise BadRequest(f"{name[:40]!r} is given more than once; wanted one value")
        seen.add(name)


REPEATABLE = frozenset({"person"})
