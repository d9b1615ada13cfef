"""The chunks of a store file: packed points of one person, time and reading schema, in parts."""

import sqlite3

PART_BYTES = 2048  # a part that has grown beyond is left alone; half a page keeps an append within one or two pages


def append(connection: sqlite3.Connection, person: str, chunk: int, schema_id: str, body: bytes) -> None:
    """Append packed points to the last part of a chunk, or begin a new part behind a full one."""
    key = (person, chunk, schema_id)
    # || makes text of two blobs; the cast changes the type back, not the bytes
    done = connection.execute(
        "UPDATE chunks SET points = CAST(points || ? AS BLOB) WHERE rowid = "
        "(SELECT rowid FROM chunks WHERE person = ? AND chunk = ? AND reading_schema = ? "
        "ORDER BY part DESC LIMIT 1) "
        "AND length(points) <= ?",
        (body, *key, PART_BYTES - len(body)),
    )
    if not done.rowcount:
        connection.execute(
            "INSERT INTO chunks (person, chunk, reading_schema, part, points) VALUES (?, ?, ?, "
            "(SELECT count(*) FROM chunks WHERE person = ? AND chunk = ? AND reading_schema = ?), ?)",
            (*key, *key, body),
        )
