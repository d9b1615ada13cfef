import sqlite3
from contextlib import closing

import pytest

from contract.tables import APPLICATION_ID, SCHEMA


def test_the_layout_is_sql_and_its_keys_hold() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        put = "INSERT INTO chunks (person, chunk, reading_schema, part, points) VALUES ('ann', 1, 'abc', ?, x'00')"
        connection.execute(put, (0,))
        connection.execute(put, (1,))

        assert names == {
            *("partitions", "sessions", "people", "reading_schemas", "chunks", "gaps", "erased"),
            "rescorings",
        }
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(put, (1,))


def test_the_application_id_spells_the_name() -> None:
    assert APPLICATION_ID.to_bytes(4, "big") == b"Mien"
