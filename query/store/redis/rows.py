"""What the keys of `contract.keys` hold, as the values of `query.store`."""

from collections.abc import Collection, Mapping, Sequence

from contract.errors import BadStore
from query.store import GapSpan, Person, Session, settings_of, still_open

Fields = Mapping[bytes, bytes]

PERSON = ("source", "session", "first_time", "last_time", "points")


def session_of(source: str, session: str, fields: Fields, gaps: Fields) -> Session:
    """Return a session from its hash and its gaps.

    Raises:
        BadStore: what they hold cannot be understood.
    """
    try:
        until = _whole(fields, b"complete_until")
        size = (_whole(fields, b"width") or 0, _whole(fields, b"height") or 0)
        return Session(
            source=source,
            id=session,
            uri=fields[b"uri"].decode() if b"uri" in fields else None,
            opened_at=_whole(fields, b"opened_at") or 0,
            dated=bool(_whole(fields, b"dated")),
            size_wh=size if all(size) else None,
            fps=_rate(fields, b"fps"),
            sample_hz=_rate(fields, b"sample_hz"),
            keeps_pictures=bool(_whole(fields, b"keeps_pictures")),
            complete_until=until,
            frames=_whole(fields, b"frames") or 0,
            looked_at=_whole(fields, b"looked_at") or 0,
            closed=bool(_whole(fields, b"closed")),
            gaps=tuple(still_open(_spans(gaps), until)),
            name=fields[b"name"].decode() if b"name" in fields else None,
            start_offset=_whole(fields, b"start_offset") or 0,
            settings=settings_of(fields.get(b"settings")),
        )
    except ValueError as error:
        raise BadStore(f"session {session!r} of {source!r} cannot be understood ({error})") from error


def person_of(person: str, row: Sequence[bytes | None], has_picture: bool) -> Person | None:
    """Return a person from the fields PERSON of their hash; None: erased, or expired.

    Raises:
        BadStore: what they hold cannot be understood.
    """
    if row[0] is None:
        return None
    try:
        source, session, first_time, last_time, points = (field or b"" for field in row)
        return Person(
            id=person,
            source=source.decode(),
            session=session.decode(),
            first_time=int(first_time),
            last_time=int(last_time),
            points=int(points),
            has_picture=has_picture,
        )
    except ValueError as error:
        raise BadStore(f"person {person[:80]!r} cannot be understood ({error})") from error


def session_in(source: str, person: str, sessions: Collection[bytes]) -> str | None:
    """Return the session in a person's id, «source.session.number»; None: the id says none of these."""
    begins = f"{source}."
    if not person.startswith(begins):
        return None
    session = person[len(begins) :].rpartition(".")[0]
    return session if session.encode() in sessions else None


def _spans(gaps: Fields) -> list[GapSpan]:
    """Return the gaps by begin, then by their place in the log."""
    spans = []
    for sequence, text in gaps.items():
        begin, end, reason, *faces = text.decode().split(" ")
        span = GapSpan(int(begin), int(end), reason, *map(int, faces))
        spans.append((span.begin, int(sequence), span))
    return [span for _, _, span in sorted(spans, key=lambda each: each[:2])]


def _whole(fields: Fields, name: bytes) -> int | None:
    return int(fields[name]) if name in fields else None


def _rate(fields: Fields, name: bytes) -> float | None:
    return float(fields[name]) if name in fields else None
