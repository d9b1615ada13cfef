"""Keys of one's own, such as participant and condition, that every row of a study carries."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from contract.errors import BadRequest
from query.store import Session
from query.tables import HEAD, Column, Kind

_WANTED = r"wanted such as (?P<participant>p\d+)"
_TAKEN = {column.name for column in HEAD}


@dataclass(frozen=True, slots=True)
class Keys:
    """Values by source: of a CSV, or of the named groups of a pattern on the file's name."""

    names: tuple[str, ...] = ()
    by_source: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns in front of a row: source, session, person, then the keys."""
        return (*HEAD, *(Column(name, Kind.TEXT) for name in self.names))

    def of(self, session: Session) -> dict[str, str | None]:
        """Return the keys of a session; None where there is none."""
        name = PurePosixPath(session.uri or session.source).name
        found: Mapping[str, str | None] = self.by_source.get(session.source) or self.by_source.get(name) or {}
        if self.pattern is not None and (match := self.pattern.search(name)):
            found = {**match.groupdict(), **found}
        return {key: found.get(key) for key in self.names}


NO_KEYS = Keys()


def keys_of(file: Path | None, pattern: str | None) -> Keys:
    """Return the keys in a CSV with a column `source` (id, or file name) and in the named groups of a pattern.

    Raises:
        BadRequest: the file cannot be read or has no such column, the pattern is none or names no group.
    """
    rows = {} if file is None else _read(file)
    names = list(next(iter(rows.values()), {}))
    compiled = None
    if pattern is not None:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise BadRequest(f"--key-pattern {pattern[:60]!r}: {error}; {_WANTED}") from error
        if not compiled.groupindex:
            raise BadRequest(f"--key-pattern {pattern[:60]!r} names no group; {_WANTED}")
        names += [name for name in compiled.groupindex if name not in names]
    if taken := _TAKEN & set(names):
        raise BadRequest(f"a key may not be called {', '.join(sorted(taken))}: every table has that column already")
    return Keys(tuple(names), rows, compiled)


def _read(file: Path) -> dict[str, dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeError, csv.Error) as error:
        raise BadRequest(f"{file}: cannot be read ({error}); wanted a CSV with a column source") from error
    if not rows or "source" not in rows[0]:
        raise BadRequest(f"{file}: wanted a CSV with a column source and a row for each")
    return {row.pop("source"): {key: value for key, value in row.items() if key} for row in rows}
