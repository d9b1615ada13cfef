"""What a reader of a data set returns, and the checks that all readers share: each error names file and line."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource, SourceNotFound

MISSING = 255
"""In targets: nobody said. Never counted, neither in a loss nor in a metric."""

TargetKind = Literal["class", "votes", "intensity", "presence"]
"""One index of `names`; how many taggers chose each of `names`; 0..5 per unit; 0 or 1 per unit."""

MOST = {"class": MISSING, "votes": MISSING - 1, "intensity": 5, "presence": 1}
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled picture."""

    key: str  # unique in its set: the path below the set's folder, or the row of a table
    picture: Path | NDArray[np.uint8]  # a file, or (H, W) or (H, W, 3) u8, grey or RGB
    target: tuple[int, ...]
    split: str
    subject: str = ""
    box_xywh: tuple[float, float, float, float] | None = None  # px; which face is meant
    landmarks: Floats | None = None  # (5, 2) px as published, for where the detector finds nothing


@dataclass(frozen=True, slots=True)
class Layout:
    """A data set as it lies on the disk, before its faces are cut."""

    name: str
    kind: TargetKind
    names: tuple[str, ...]  # what the targets speak of, in order
    examples: Sequence[Example]

    @property
    def task(self) -> str:
        """«expressions» or «action_units»."""
        return "expressions" if self.kind in ("class", "votes") else "action_units"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table."""

    path: Path
    line: int
    fields: Sequence[str] = field(repr=False)

    def error(self, what: str) -> BadSource:
        """An error that begins with file and line."""
        return BadSource(f"{self.path}:{self.line}: {what}")

    def whole(self, index: int, name: str, least: int, most: int) -> int:
        """The field as a whole number in least..most.

        Raises:
            BadSource: it is something else.
        """
        text = self.fields[index].strip() if index < len(self.fields) else ""
        try:
            value = int(text)
        except ValueError:
            raise self.error(f"{name} is {text!r}, wanted a whole number {least}..{most}") from None
        if not least <= value <= most:
            raise self.error(f"{name} is {value}, wanted {least}..{most}")
        return value


def rows(path: Path, delimiter: str | None = None, comment: str = "") -> Iterator[Row]:
    """The lines of a text file that are not empty, cut at the delimiter (None: at any white space).

    Raises:
        SourceNotFound: the file is missing.
        BadSource: it is no text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            lines = csv.reader(text, delimiter=delimiter) if delimiter else (line.split() for line in text)
            for number, fields in enumerate(lines, 1):
                if fields and not (comment and fields[0].startswith(comment)):
                    yield Row(path, number, fields)
    except OSError as error:
        raise SourceNotFound(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSource(f"{path}: no readable table ({error})") from error


def columns(row: Row, wanted: Sequence[str]) -> list[int]:
    """Where the wanted columns stand in a header.

    Raises:
        BadSource: one is missing.
    """
    seen = [name.strip() for name in row.fields]
    if lost := [name for name in wanted if name not in seen]:
        raise row.error(f"no column {lost[0]!r}; the header has {', '.join(seen)[:200]}")
    return [seen.index(name) for name in wanted]


class Once:
    """Refuses the second row with the same name."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __call__(self, row: Row, name: str) -> str:
        """The name, the first time.

        Raises:
            BadSource: it stood in an earlier line.
        """
        if (earlier := self._seen.setdefault(name, row.line)) != row.line:
            raise row.error(f"{name} stands in line {earlier} already")
        return name


def folder_at(path: Path, wanted: str) -> Path:
    """The folder, when it is there.

    Raises:
        SourceNotFound: it is not; the message says what belongs there.
    """
    if not path.is_dir():
        raise SourceNotFound(f"{path}: no such folder, wanted {wanted}")
    return path


def present(layout: Layout) -> Layout:
    """The layout, when it has examples, unique keys and all its picture files.

    Raises:
        SourceNotFound: pictures are missing; the message counts them and names the first.
        BadSource: nothing in it, or a key stands twice.
    """
    if not layout.examples:
        raise BadSource(f"{layout.name}: no example at all")
    if len({example.key for example in layout.examples}) < len(layout.examples):
        raise BadSource(f"{layout.name}: a key stands for two pictures")
    files = [example.picture for example in layout.examples if isinstance(example.picture, Path)]
    lost = [path for path in files if not path.is_file()]
    if lost:
        raise SourceNotFound(
            f"{lost[0]}: no such picture ({len(lost):,} of {len(files):,} of {layout.name} are missing)"
        )
    return layout


Reader = Callable[[Path], Layout]
