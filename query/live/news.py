"""What is new in a store since a position: every reading once, whoever asks and however often.

A session's readings are stored in the order of its frames. So everything before the last frame of which a reading is
there has been stored, and everything before `complete_until` too: up to the later of the two, a session's readings
are settled, and the position of a reader is one time per session. The readings of the newest frame wait
for the next one, as faces of one frame may be stored one after the other.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from query.store import Person, Session, Snapshot
from query.timeline import Page, Wanted, read_page

Key = tuple[str, str]  # source, session
ALL_ROWS = 2**40
MOST_SESSIONS = 10_000  # in a position that somebody sends


@dataclass(frozen=True, slots=True)
class Batch:
    """The readings of a session in [begin, end), µs: one page of points per person who has any."""

    session: Session
    begin: int
    end: int
    people: tuple[tuple[Person, Page], ...]

    @property
    def key(self) -> Key:
        """Which session."""
        return self.session.source, self.session.id

    @property
    def is_last(self) -> bool:
        """Return whether nothing more will come."""
        return self.session.closed


@dataclass(frozen=True, slots=True)
class Ready:
    """A session and how far its readings are settled; its people with a reading there."""

    session: Session
    until: int
    people: tuple[Person, ...]

    @property
    def key(self) -> Key:
        """Which session."""
        return self.session.source, self.session.id


def ready(snapshot: Snapshot, followed: set[Key]) -> dict[Key, Ready]:
    """Return the sessions that are open, or followed since they were, and how far each is settled."""
    wanted = [
        session for session in snapshot.sessions() if not session.closed or (session.source, session.id) in followed
    ]
    found = {}
    for source in dict.fromkeys(session.source for session in wanted):
        people = list(snapshot.people(source, None))
        for session in (session for session in wanted if session.source == source):
            mine = tuple(person for person in people if person.session == session.id)
            last = max((person.last_time for person in mine), default=session.opened_at)
            until = max(last, session.complete_until or session.opened_at, session.opened_at)
            found[source, session.id] = Ready(session, until + session.closed, mine)
    return found


def batch(snapshot: Snapshot, what: Ready, begin: int) -> Batch:
    """Return the readings of a session in [begin, until)."""
    end = max(begin, what.until)
    pages = []
    for person in what.people:
        if person.last_time >= begin and person.first_time < end:
            page = read_page(
                snapshot, what.session, Wanted(person=person.id, begin=begin, end=end, every=None, limit=ALL_ROWS)
            )
            if len(page.event_time):
                pages.append((person, page))
    return Batch(what.session, begin, end, tuple(pages))


def behind(found: Batch, position: int) -> Batch:
    """Return the part of a batch that lies at or behind a position within it."""
    if position <= found.begin:
        return found
    cut = []
    for person, page in found.people:
        keep = page.event_time >= position
        if keep.any():
            cut.append((person, _rows(page, keep)))
    return Batch(found.session, min(position, found.end), found.end, tuple(cut))


def position_text(positions: Mapping[Key, int]) -> str:
    """Return positions as the id of an event."""
    plain = json.dumps([[*key, time] for key, time in sorted(positions.items())], separators=(",", ":"))
    return urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def parse_position(text: str) -> dict[Key, int]:
    """Return the positions in the id of an event.

    Raises:
        BadRequest: it is none of this service.
    """
    try:
        rows = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found = {(str(source), str(session)): int(time) for source, session, time in rows}
        if len(found) > MOST_SESSIONS or any(abs(time) > 2**62 for time in found.values()):
            raise ValueError
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest("Last-Event-ID is not one that this service sent; send it unchanged, or none") from error
    return found


def _rows(page: Page, keep: NDArray[np.bool_]) -> Page:
    assert page.frame is not None
    assert page.box_xywh is not None
    return replace(
        page,
        event_time=page.event_time[keep],
        frame=page.frame[keep],
        box_xywh=page.box_xywh[keep],
        quality=page.quality[keep],
        values=page.values[keep],
    )
