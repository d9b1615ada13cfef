"""The people of a store file: when they were seen, their pictures, and the tombstones of the erased."""

import sqlite3
from collections.abc import Mapping

from worker.store.fold import Seen


def erased_among(connection: sqlite3.Connection, people: set[str]) -> set[str]:
    """Those of the people who have a tombstone."""
    places = ", ".join("?" * len(people))
    query = f"SELECT person FROM erased WHERE person IN ({places})"
    return {person for (person,) in connection.execute(query, tuple(people))}


def erase(connection: sqlite3.Connection, people: set[str]) -> None:
    """Delete the people's points, pictures and rows; the tombstones refuse what is replayed."""
    names = [(person,) for person in people]
    for statement in (
        "DELETE FROM chunks WHERE person = ?",
        "DELETE FROM people WHERE person = ?",
        "INSERT OR IGNORE INTO erased (person) VALUES (?)",
    ):
        connection.executemany(statement, names)


def write(connection: sqlite3.Connection, people: Mapping[str, Seen]) -> None:
    """Add what a batch has seen of people, and their pictures where the session keeps pictures."""
    connection.executemany(
        "INSERT INTO people (person, source, session, first_time, last_time, points) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (person) DO UPDATE SET first_time = min(first_time, excluded.first_time), "
        "last_time = max(last_time, excluded.last_time), points = points + excluded.points",
        [
            (person, added.source, added.session, added.first_time, added.last_time, added.points)
            for person, added in people.items()
        ],
    )
    connection.executemany(
        "UPDATE people SET picture = ?, picture_quality = ? "
        "WHERE person = ? AND (picture_quality IS NULL OR picture_quality < ?) "
        "AND EXISTS (SELECT 1 FROM sessions WHERE source = ? AND session = ? AND keeps_pictures)",
        [
            (point.picture, point.face.quality, person, point.face.quality, point.source, point.session)
            for person, added in people.items()
            for point in added.pictured
        ],
    )
