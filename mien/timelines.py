"""A session as the outputs need it: each person's points in one table, whatever chunks and schemas they lie in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from contract.points import Columns, unpack
from contract.readings import ChannelKind, NetVersion, ReadingSchema
from query.store import Person, Session, Snapshot

SECOND_US = 1e6
EVER = 2**62


@dataclass(frozen=True, slots=True)
class Timeline:
    """All that is known of one person in one session."""

    person: Person
    time_s: NDArray[np.float64]  # (n,) seconds since the session's first frame
    points: Columns
    values: dict[tuple[ChannelKind, str], NDArray[np.float32]]  # (n,) per channel; NaN where no net read it
    nets: tuple[NetVersion, ...]

    def of_kind(self, kind: ChannelKind) -> dict[str, NDArray[np.float32]]:
        """The channels of one kind, by name, in order."""
        return {name: values for (each, name), values in self.values.items() if each is kind}


def timelines(snapshot: Snapshot, session: Session) -> list[Timeline]:
    """The people of a session in the order in which they appeared."""
    people = (person for person in snapshot.people(session.source, None) if person.session == session.id)
    return [_timeline(snapshot, session, person) for person in people]


def seconds_since(session: Session, event_time: int) -> float:
    """Seconds from the session's first frame to an event time."""
    return (event_time - session.opened_at) / SECOND_US


def _timeline(snapshot: Snapshot, session: Session, person: Person) -> Timeline:
    schemas = snapshot.schemas(person.id, -EVER, EVER)
    stretches = list(snapshot.points(person.id, -EVER, EVER))
    points = _joined([columns for _, _, columns in stretches])
    order = np.argsort(points.event_time, kind="stable")
    values: dict[tuple[ChannelKind, str], NDArray[np.float32]] = {}
    start = 0
    for _, schema, columns in stretches:
        for index, channel in enumerate(schemas[schema].channels):
            column = values.setdefault((channel.kind, channel.name), np.full(len(points), np.nan, np.float32))
            column[start : start + len(columns)] = columns.values[:, index]
        start += len(columns)
    return Timeline(
        person=person,
        time_s=(points.event_time[order] - session.opened_at) / SECOND_US,
        points=_taken(points, order),
        values={channel: column[order] for channel, column in values.items()},
        nets=_nets(schemas.values()),
    )


def _nets(schemas: Iterable[ReadingSchema]) -> tuple[NetVersion, ...]:
    found: dict[NetVersion, None] = {}
    for schema in schemas:
        found.update(dict.fromkeys(schema.nets))
    return tuple(found)


def _joined(parts: Sequence[Columns]) -> Columns:
    """The parts one after the other, without their values: their channels may differ."""
    parts = parts or [unpack([], 0)]
    return Columns(
        event_time=np.concatenate([part.event_time for part in parts]),
        frame=np.concatenate([part.frame for part in parts]),
        box_xywh=np.concatenate([part.box_xywh for part in parts]),
        quality=np.concatenate([part.quality for part in parts]),
        sharpness=np.concatenate([part.sharpness for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        angles_deg=np.concatenate([part.angles_deg for part in parts]),
        values=np.empty((sum(map(len, parts)), 0), np.float32),
    )


def _taken(points: Columns, order: NDArray[np.int64]) -> Columns:
    return Columns(**{field.name: getattr(points, field.name)[order] for field in fields(points)})
