"""What reading again adds to a store file: layers, and the positions of those who read."""

import sqlite3
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.readings import Point, ReadingSchema
from worker.store.rescoring import dtype_of, grouped, missing
from worker.store.sqlite.chunks import append


def position(connection: sqlite3.Connection, log: str, partition: int, schema_id: str) -> tuple[int, int, int] | None:
    """(rank, epoch, next offset) of a rescoring; None: never taken."""
    query = "SELECT rank, epoch, next_offset FROM rescorings WHERE log = ? AND partition = ? AND reading_schema = ?"
    row: tuple[int, int, int] | None = connection.execute(query, (log, partition, schema_id)).fetchone()
    return row


def rank(connection: sqlite3.Connection, schema_id: str) -> int:
    """The rank of the schema's layer, the next one where it has none yet."""
    query = (
        "SELECT coalesce(max(CASE reading_schema WHEN ? THEN rank END), count(DISTINCT reading_schema) + 1) "
        "FROM rescorings"
    )
    found: int = connection.execute(query, (schema_id,)).fetchone()[0]
    return found


def add(
    connection: sqlite3.Connection, points: Sequence[Point], rows: NDArray[np.void], layer: str, schema: ReadingSchema
) -> None:
    """Add to a layer what is missing there of the points, packed as `rows`."""
    schemas = connection.execute("SELECT id, body FROM reading_schemas").fetchall()
    dtypes = {name: dtype_of(body) for name, body in schemas}
    for (person, chunk), numbers in grouped(points).items():
        stored: dict[str, bytes] = {}
        query = "SELECT reading_schema, points FROM chunks WHERE person = ? AND chunk = ? ORDER BY part"
        for name, part in connection.execute(query, (person, chunk)):
            stored[name] = stored.get(name, b"") + part
        if kept := missing(numbers, rows, stored, layer, dtypes):
            connection.execute(
                "INSERT OR IGNORE INTO reading_schemas (id, body) VALUES (?, ?)",
                (layer, msgspec.json.encode(schema)),
            )
            append(connection, person, chunk, layer, rows[kept].tobytes())
