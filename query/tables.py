"""Rows of an answer as named columns with their kinds and units: what every row format is written from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from query.analysis.formula import Selection
from query.store import Person, Session
from query.timeline import Page

DIGITS = 5  # values are stored in steps of 1/65,535
Cells = NDArray[Any] | Sequence[Any]


class Kind(StrEnum):
    """What the cells of a column are."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"  # 64 bits
    SHARE = "share"  # 32 bits, rounded to DIGITS; NaN: no value


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column."""

    name: str
    kind: Kind
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows: (n,) cells under every column; a cell without a value is None or NaN."""

    columns: tuple[Column, ...]
    cells: tuple[Cells, ...]

    def __len__(self) -> int:
        return len(self.cells[0]) if self.cells else 0

    def plain(self) -> list[list[Any]]:
        """Return the columns as plain values, without NaN; numbers of 32 bits as their shortest decimals."""
        return [plain(cells) for cells in self.cells]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of any number, in tables that all have these columns.

    `metadata` says what a file of them must not lose: nets, versions, settings; JSON values. `left_out` names, once all
    tables are read, whose values could not be made, and why.
    """

    columns: tuple[Column, ...]
    tables: Iterable[Table]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def table_of(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows, each a mapping from the names of columns, as a table."""
    return Table(
        tuple(columns), tuple([_rounded(row.get(column.name), column.kind) for row in rows] for column in columns)
    )


def _rounded(value: Any, kind: Kind) -> Any:
    digits = {Kind.NUMBER: 6, Kind.SHARE: DIGITS}.get(kind)
    return round(value, digits) if digits is not None and isinstance(value, float) else value


HEAD = (Column("source", Kind.TEXT), Column("session", Kind.TEXT), Column("person", Kind.TEXT))
_T = Column("t", Kind.NUMBER, "seconds since the first frame")
_COVERAGE = Column("coverage", Kind.SHARE, "share of the bucket that was looked at")
_BUCKET = (_T, Column("n", Kind.INTEGER, "readings"), Column("why", Kind.TEXT), _COVERAGE)
_BOX = tuple(Column(name, Kind.SHARE, "px of the upright picture") for name in ("x", "y", "width", "height"))
_POINT = (_T, Column("frame", Kind.INTEGER), *_BOX)
_QUALITY = Column("quality", Kind.SHARE, "0..1")


def timeline_columns(page: Page, select: Selection) -> tuple[Column, ...]:
    """Return the columns of the rows of this page and those behind it: of points, or of buckets."""
    names = select.names if select.names is not None else tuple(channel.name for channel in page.channels)
    return (*HEAD, *fixed_columns(page.every), *(Column(name, Kind.SHARE, "0..1") for name in (*names, *page.formulas)))


def fixed_columns(every: int | None) -> tuple[Column, ...]:
    """Return the columns of points (None) or buckets before their values."""
    return (*(_POINT if every is None else _BUCKET), _QUALITY)


def timeline_table(
    page: Page,
    person: Person,
    session: Session,
    columns: tuple[Column, ...],
    keys: Mapping[str, str | None] | None = None,
) -> Table:
    """Return a page as rows under these columns; a channel that no net of the page measured has no values."""
    rows = len(page.event_time)
    found: dict[str, Cells] = {name: [value] * rows for name, value in (keys or {}).items()}
    found |= {"source": [session.source] * rows, "session": [session.id] * rows}
    found |= {"person": [person.id] * rows, "t": (page.event_time - session.opened_at) / 1e6, "quality": page.quality}
    found |= {name: cells for name, cells in _fixed(page) if cells is not None}
    if page.box_xywh is not None:
        found |= {column.name: page.box_xywh[:, place] for place, column in enumerate(_BOX)}
    found |= page.columns()
    return Table(columns, tuple(found.get(column.name, [None] * rows) for column in columns))


def _fixed(page: Page) -> tuple[tuple[str, Cells | None], ...]:
    return ("n", page.n), ("why", page.why), ("coverage", page.coverage), ("frame", page.frame)


def plain(cells: Cells) -> list[Any]:
    """Return cells as plain values; NaN as None, numbers of 32 bits as their shortest decimals."""
    if not isinstance(cells, np.ndarray):
        return [None if each != each else each for each in cells]
    if cells.dtype.kind != "f":
        return list(cells.tolist())
    if cells.dtype == np.float32:
        cells = np.round(cells.astype(np.float64), DIGITS)
    return [None if each != each else each for each in cells.tolist()]
