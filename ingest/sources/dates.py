"""When each file was recorded: from its name, from a table beside it, or from what its container states."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from contract.errors import BadRequest, BadSource
from ingest.footage.container import opened
from ingest.sources import Source
from ingest.sources.files import LocalFile
from runtime.printing import printable, shown_path

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CONTAINER = "container"
_CODES = {"Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}", "y": r"\d{2}"} | {
    "f": r"\d{1,6}",
    "z": r"(?:Z|[+-]\d{2}:?\d{2})",
    "j": r"\d{3}",
    "b": r"[A-Za-z]{3}",
    "p": r"[AaPp][Mm]",
    "I": r"\d{2}",
}

_WANTED = (
    "wanted an instant with its zone, such as 2026-11-21T09:30:00+01:00; a pattern of the names and their zone, "
    "such as '%Y%m%d_%H%M%S Europe/Berlin'; a table FILE.csv with the columns file and recorded_at; or container"
)


def dated(sources: Sequence[Source], given: str) -> list[Source]:
    """The sources, each file with the date that `given` has for it; cameras date themselves.

    Args:
        given: an instant for all; a pattern of `strptime` that part of every name fits, with %z or a blank and a zone
            behind it; the path of a CSV table; or «container» for the creation time that the container states.

    Raises:
        BadRequest: it is none of these, or has no date for one of the files; the line names the file.
    """
    date_of = _dates(given)
    return [
        replace(source, recorded_at=date_of(source, source.origin.path))
        if isinstance(source.origin, LocalFile)
        else source
        for source in sources
    ]


def moment(text: str) -> int:
    """µs since the epoch of an ISO 8601 instant with its zone.

    Raises:
        BadRequest: it is none, or its zone is missing.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise BadRequest(f"--recorded-at {printable(text)}: {_WANTED}")
    return _micros(instant)


def _dates(given: str) -> Callable[[Source, Path], int]:
    if given == CONTAINER:
        return lambda source, path: _of_container(path)
    if "%" in given:
        pattern, zone = _pattern(given)
        return lambda source, path: _of_name(path, pattern, zone)
    if given.lower().endswith((".csv", ".tsv")):
        table = _table(Path(given))
        return lambda source, path: _of_table(source, path, table, given)
    instant = moment(given)
    return lambda source, path: instant


def _pattern(given: str) -> tuple[str, tzinfo | None]:
    """A pattern and the zone behind it; None: the names hold it."""
    if "%z" in given:
        return given, None
    pattern, _, zone = given.rpartition(" ")
    try:
        if offset := re.fullmatch(r"[+-]\d{2}:?\d{2}", zone):
            return pattern, datetime.strptime(offset[0], "%z").tzinfo
        return pattern, ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise BadRequest(f"--recorded-at {printable(given)}: no zone at its end; {_WANTED}") from error


def _of_name(path: Path, pattern: str, zone: tzinfo | None) -> int:
    """The date that stands somewhere in a name."""
    found = re.search(_as_expression(pattern), path.name)
    try:
        instant = datetime.strptime(found[0], pattern) if found else None  # noqa: DTZ007 - looked at below
    except ValueError:
        instant = None
    if instant is None:
        raise BadRequest(f"--recorded-at {printable(pattern)}: no such date in the name {shown_path(path)}")
    return _micros(instant.replace(tzinfo=zone) if instant.tzinfo is None else instant)


def _as_expression(pattern: str) -> str:
    parts = re.split(r"%(.)", pattern)
    text = [re.escape(part) if place % 2 == 0 else _CODES.get(part, ".+?") for place, part in enumerate(parts)]
    return "".join(text)


def _table(path: Path) -> Mapping[str, str]:
    """What a table says: file or name, and when it was recorded."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"--recorded-at {shown_path(path)}: no table that can be read ({error})") from error
    if rows and not {"file", "recorded_at"} <= set(rows[0]):
        raise BadRequest(f"--recorded-at {shown_path(path)}: columns {', '.join(rows[0])}; wanted file and recorded_at")
    return {row["file"]: row["recorded_at"] for row in rows if row["file"] and row["recorded_at"]}


def _of_table(source: Source, path: Path, table: Mapping[str, str], given: str) -> int:
    for name in (str(path), path.name, path.stem, source.name):
        if name and name in table:
            return moment(table[name])
    raise BadRequest(f"--recorded-at {printable(given)}: no row for {shown_path(path)}; wanted one with its name")


def _of_container(path: Path) -> int:
    try:
        with opened(path) as container:
            said = container.metadata
        stated = said.get("com.apple.quicktime.creationdate") or said.get("creation_time")  # the first with its zone
        instant = datetime.fromisoformat(stated) if stated else None
    except (BadSource, ValueError):
        instant = None
    if instant is None:
        raise BadRequest(
            f"--recorded-at container: {shown_path(path)} states no creation time; wanted it in another way"
        )
    return _micros(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def _micros(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)
