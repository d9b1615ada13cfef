"""A session as the outputs need it: each person's points in time order, whatever chunks and schemas they lie in."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from contract.points import Columns, unpack
from contract.readings import ChannelKind, NetVersion, ReadingSchema
from query.store import Person, Session, Snapshot

SECOND_US = 1e6
EVER = 2**62

Channel = tuple[ChannelKind, str]
"""The kind and the name of a channel."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some points of one person, sorted by time."""

    time_s: NDArray[np.float64]  # (n,) seconds since the session's first frame
    points: Columns  # without their values
    values: dict[Channel, NDArray[np.float32]]  # (n,) 0..1 per channel of the timeline; NaN where no net read it

    def __len__(self) -> int:
        return len(self.time_s)

    def of_kind(self, kind: ChannelKind) -> dict[str, NDArray[np.float32]]:
        """The channels of one kind, by name, in order."""
        return {name: values for (each, name), values in self.values.items() if each is kind}


@dataclass(frozen=True, slots=True)
class Timeline:
    """One person in one session. Points are read when they are asked for, as long as the snapshot is open."""

    person: Person
    channels: tuple[Channel, ...]
    nets: tuple[NetVersion, ...]
    blocks: Callable[[], Iterator[Block]]  # by time; a few minutes each

    def whole(self) -> Block:
        """All points in one block."""
        return joined(list(self.blocks()), self.channels)


def timelines(snapshot: Snapshot, session: Session) -> list[Timeline]:
    """The people of a session in the order in which they appeared."""
    people = (person for person in snapshot.people(session.source, None) if person.session == session.id)
    return [_timeline(snapshot, session, person) for person in people]


def seconds_since(session: Session, event_time: int) -> float:
    """Seconds from the session's first frame to an event time."""
    return (event_time - session.opened_at) / SECOND_US


def joined(blocks: Sequence[Block], channels: Iterable[Channel]) -> Block:
    """The blocks of one timeline, one after the other."""
    points = _joined([block.points for block in blocks])
    nothing = np.empty(0, np.float32)
    return Block(
        np.concatenate([np.empty(0), *(block.time_s for block in blocks)]),
        points,
        {channel: np.concatenate([nothing, *(block.values[channel] for block in blocks)]) for channel in channels},
    )


def _timeline(snapshot: Snapshot, session: Session, person: Person) -> Timeline:
    schemas = snapshot.schemas(person.id, -EVER, EVER)
    channels = dict.fromkeys((each.kind, each.name) for schema in schemas.values() for each in schema.channels)
    nets = dict.fromkeys(net for schema in schemas.values() for net in schema.nets)

    def blocks() -> Iterator[Block]:
        parts = snapshot.points(person.id, -EVER, EVER)
        for _, group in itertools.groupby(parts, key=lambda part: part[0]):
            yield _block(session, [(schemas[name], columns) for _, name, columns in group], tuple(channels))

    return Timeline(person, tuple(channels), tuple(nets), blocks)


def _block(session: Session, parts: Sequence[tuple[ReadingSchema, Columns]], channels: Sequence[Channel]) -> Block:
    """Points of several schemas whose times may lie between each other's, in order."""
    points = _joined([columns for _, columns in parts])
    order = np.argsort(points.event_time, kind="stable")
    values = {channel: np.full(len(points), np.nan, np.float32) for channel in channels}
    start = 0
    for schema, columns in parts:
        for index, channel in enumerate(schema.channels):
            values[channel.kind, channel.name][start : start + len(columns)] = columns.values[:, index]
        start += len(columns)
    return Block(
        (points.event_time[order] - session.opened_at) / SECOND_US,
        Columns(**{field.name: getattr(points, field.name)[order] for field in fields(points)}),
        {channel: column[order] for channel, column in values.items()},
    )


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
