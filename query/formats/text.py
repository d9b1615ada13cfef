"""Rows as text."""

import csv as standard
import io
from collections.abc import Iterator

import orjson

from query.tables import Rows


def csv(rows: Rows) -> Iterator[bytes]:
    """Write a header line, then fields with commas between (RFC 4180, lines end in \\n); no value is an empty field."""
    text = io.StringIO()
    writer = standard.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in rows.columns)
    for table in rows.tables:
        writer.writerows(zip(*table.plain(), strict=True))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    if text.tell():
        yield text.getvalue().encode()


def ndjson(rows: Rows) -> Iterator[bytes]:
    """Write one JSON object per line; no value is null. The metadata is not in it."""
    names = [column.name for column in rows.columns]
    for table in rows.tables:
        lines = zip(*table.plain(), strict=True)
        yield b"".join(
            orjson.dumps(dict(zip(names, line, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for line in lines
        )
