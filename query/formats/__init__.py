"""Rows as bytes: CSV, NDJSON, Parquet and Arrow, each in constant memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from query.formats.arrow import arrow, parquet
from query.formats.text import csv, ndjson
from query.tables import Rows


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write rows."""

    media_type: str
    encode: Callable[[Rows], Iterator[bytes]]


FORMATS = {
    "csv": Format("text/csv", csv),
    "ndjson": Format("application/x-ndjson", ndjson),
    "parquet": Format("application/vnd.apache.parquet", parquet),
    "arrow": Format("application/vnd.apache.arrow.stream", arrow),
}
"""By name; a name is also the ending of a file."""
