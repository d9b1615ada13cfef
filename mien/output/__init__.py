"""What a run gives as files: JSON, or CSV or Parquet tables. All of them are there whole, or none."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from contract.errors import BadOutput
from mien.output.contents import Contents
from mien.output.document import document
from mien.output.tables import gap_rows, reading_rows, source_rows
from query.formats.arrow import parquet
from query.formats.text import csv
from query.tables import Rows
from runtime.files import whole_file
from runtime.printing import shown_path

__all__ = ["Contents", "check_writable", "files_of", "write"]

_TABLES: dict[str, Callable[[Rows], Iterator[bytes]]] = {".csv": csv, ".parquet": parquet}
_ENDINGS = (".json", *_TABLES)
_SIDES: dict[str, Callable[[Contents], Rows]] = {"sources": source_rows, "gaps": gap_rows}


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that `write` makes: for study.csv also study.sources.csv and study.gaps.csv."""
    if path.suffix.lower() not in _TABLES:
        return (path,)
    return (path, *(path.with_suffix(f".{side}{path.suffix}") for side in _SIDES))


def check_writable(path: Path) -> None:
    """Find out before the work begins whether the files can be written at its end.

    Raises:
        BadOutput: unknown ending, missing folder, no permission.
    """
    if path.suffix.lower() not in _ENDINGS:
        seen = path.suffix or "none"
        raise BadOutput(f"{shown_path(path)}: the ending says the format; wanted {', '.join(_ENDINGS)}, seen {seen!r}")
    for each in files_of(path):
        if each.is_dir():
            raise BadOutput(f"{shown_path(each)}: is a folder, wanted a file name")
    if not path.parent.is_dir():
        raise BadOutput(f"{shown_path(path)}: cannot be written (there is no folder {shown_path(path.parent)})")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise BadOutput(f"{shown_path(path)}: cannot be written ({error.strerror})") from error


def write(path: Path, contents: Contents) -> None:
    """Write everything in constant memory; the ending chooses the format.

    Raises:
        BadOutput: the disk is full or the path cannot be written; older files stay as they were.
    """
    encode = _TABLES.get(path.suffix.lower())
    if encode is None:
        bodies = [document(contents)]
    else:
        bodies = [encode(rows(contents)) for rows in (reading_rows, *_SIDES.values())]
    with ExitStack() as stack:
        for place, body in zip(files_of(path), bodies, strict=True):
            file = stack.enter_context(whole_file(place))
            for piece in body:
                file.write(piece)
