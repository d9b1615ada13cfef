"""What a run gives: the sessions with their people, and what was asked for and not looked at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from contract.labels import GapReason
from contract.readings import NetVersion
from mien import __version__
from mien.timelines import SECOND_US, Timeline, seconds_since
from mien.unseen import State, Unseen
from query.store import GapSpan, Session

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JOINED_US = 1_000_000  # stretches in which faces were left out and that lie closer are one


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that was asked for."""

    sessions: Sequence[tuple[Session, list[Timeline]]]
    unseen: Sequence[Unseen] = ()
    nets: Sequence[NetVersion] = ()  # that were asked for
    failures: Mapping[str, str] = field(default_factory=dict)  # by source, of those that have a session all the same

    def model(self) -> dict[str, Any]:
        """The nets that read the faces, or were to where nobody was seen, and the version of the program."""
        nets: dict[NetVersion, None] = {}
        for _, people in self.sessions:
            for timeline in people:
                nets.update(dict.fromkeys(timeline.nets))
        nets = nets or dict.fromkeys(self.nets)
        return {
            "name": "+".join(net.name for net in nets) or None,
            "version": "+".join(net.version for net in nets) or None,
            "nets": [{"name": net.name, "version": net.version, "sha256": net.sha256} for net in nets],
            "mien": __version__,
        }

    def source_rows(self) -> Iterator[dict[str, Any]]:
        """A row for everything that was asked for, looked at or not."""
        for session, people in self.sessions:
            failure = self.failures.get(session.source)
            width, height = session.size_wh or (None, None)
            yield {
                "source": session.source,
                "session": session.id,
                "name": name_of(session),
                "file": session.uri,
                "state": str(State.FAILED if failure else State.LOOKED_AT if session.closed else State.UNFINISHED),
                "reason": failure,
                "recorded_at": recorded_at(session),
                "start_offset": session.start_offset / SECOND_US,
                "duration": until_s(session),
                "fps": session.fps,
                "width": width,
                "height": height,
                "frames": session.frames,
                "looked_at": session.looked_at,
                "people": len(people),
                "readings": sum(timeline.person.points for timeline in people),
                "low_quality": low_quality(session),
                "settings": orjson.dumps(dict(session.settings)).decode() if session.settings else None,
            }
        for each in self.unseen:
            yield each.row()

    def gap_rows(self) -> Iterator[dict[str, Any]]:
        """A row for every stretch that was not looked at, or in which faces were left out."""
        for session, _ in self.sessions:
            head = {"source": session.source, "session": session.id, "name": name_of(session)}
            for gap in gaps_of(session):
                yield head | gap_row(session, gap)


def name_of(session: Session) -> str:
    """What the user calls a source: the name given, else its path or address as typed."""
    return session.name or session.uri or session.source


def recorded_at(session: Session) -> str | None:
    """The instant of the first frame, ISO 8601 in UTC; None where it is unknown."""
    if not session.dated:
        return None
    return (EPOCH + timedelta(microseconds=session.opened_at)).isoformat().replace("+00:00", "Z")


def until_s(session: Session) -> float | None:
    """Seconds up to which everything is final."""
    return None if session.complete_until is None else seconds_since(session, session.complete_until)


def low_quality(session: Session) -> int:
    """How many faces were left out for their quality."""
    return sum(gap.faces for gap in session.gaps)


def gaps_of(session: Session) -> list[GapSpan]:
    """The gaps by their begin; stretches in which faces were left out are joined where they are close."""
    found: list[GapSpan] = []
    last: int | None = None  # place of the last stretch with faces left out
    for gap in session.gaps:
        if gap.reason == GapReason.LOW_QUALITY and last is not None and gap.begin - found[last].end < JOINED_US:
            before = found[last]
            found[last] = GapSpan(before.begin, max(before.end, gap.end), gap.reason, before.faces + gap.faces)
            continue
        if gap.reason == GapReason.LOW_QUALITY:
            last = len(found)
        found.append(gap)
    return found


def gap_row(session: Session, gap: GapSpan) -> dict[str, Any]:
    """A gap in seconds of the session."""
    row = {"from": seconds_since(session, gap.begin), "to": seconds_since(session, gap.end), "reason": gap.reason}
    return row | ({"faces": gap.faces} if gap.reason == GapReason.LOW_QUALITY else {})
