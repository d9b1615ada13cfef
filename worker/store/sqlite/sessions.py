"""The sessions of a store file: their marks, openings, progress and gaps."""

import sqlite3

from contract.records import Gap
from contract.tables import INTERRUPTION
from worker.store.fold import Changes, SessionKey


def high_water(connection: sqlite3.Connection, key: SessionKey) -> int | None:
    """The highest sequence applied of a session; None: nothing yet."""
    row = connection.execute("SELECT high_water FROM sessions WHERE source = ? AND session = ?", key).fetchone()
    return row[0] if row else None


def write(connection: sqlite3.Connection, changes: Changes) -> None:
    """Write the marks, openings, progress, gaps and interruptions of a batch."""
    run = connection.executemany
    run(
        "INSERT INTO sessions (source, session, high_water) VALUES (?, ?, ?) "
        "ON CONFLICT (source, session) DO UPDATE SET high_water = excluded.high_water",
        [(*key, mark) for key, mark in changes.marks.items()],
    )
    run(
        "UPDATE sessions SET uri = ?, opened_at = ?, dated = ?, width = ?, height = ?, fps = ?, sample_hz = ?, "
        "keeps_pictures = ?, name = ?, settings = ?, start_offset = ? WHERE source = ? AND session = ?",
        [
            (
                *(o.uri, o.event_time, o.dated, *o.size_wh, o.fps, o.sample_hz, o.keeps_pictures),
                *(o.name or None, o.settings or None, o.start_offset_us, o.source, o.session),
            )
            for o in changes.opened
        ],
    )
    run(
        "UPDATE sessions SET complete_until = ?, frames = ?, looked_at = ?, closed = ? "
        "WHERE source = ? AND session = ?",
        [(p.event_time, p.frames, p.looked_at, p.closed, *key) for key, p in changes.progress.items()],
    )
    run(
        "INSERT INTO gaps (source, session, sequence, begin, end, reason, faces) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(g.source, g.session, g.sequence, g.begin, g.end, str(g.reason), g.faces) for g in changes.gaps],
    )
    run(f"DELETE FROM gaps WHERE source = ? AND session = ? AND sequence = {INTERRUPTION}", changes.marks.keys())
    for key, gap in changes.interruptions.items():
        _interrupt(connection, key, gap, is_open=key not in changes.resumed)


def _interrupt(connection: sqlite3.Connection, key: SessionKey, gap: Gap, *, is_open: bool) -> None:
    """Store that a run was stopped here, unless another one of the session was further."""
    stored = connection.execute(
        "UPDATE sessions SET complete_until = ?, frames = ?, looked_at = ? "
        "WHERE source = ? AND session = ? AND (complete_until IS NULL OR complete_until <= ?)",
        (gap.begin, gap.frames, gap.looked_at, *key, gap.begin),
    )
    if stored.rowcount and is_open:
        connection.execute(
            "INSERT OR REPLACE INTO gaps (source, session, sequence, begin, end, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (*key, INTERRUPTION, gap.begin, gap.end, str(gap.reason)),
        )
