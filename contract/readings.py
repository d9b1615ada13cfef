"""What the nets read in a crop, and which nets read it."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason
from contract.records import Erase, Face, Gap, Progress, SessionOpened


class ChannelKind(StrEnum):
    """What a channel's value means."""

    EXPRESSION = "expression"  # probability; the expressions of one net sum to one
    ACTION_UNIT = "action_unit"  # probability that the unit is active


class Channel(msgspec.Struct, frozen=True):
    """One value of a reading."""

    name: str  # a word of contract.labels
    kind: ChannelKind


class NetVersion(msgspec.Struct, frozen=True):
    """Which weights made a channel."""

    name: str
    version: str
    sha256: str  # of the file that was run


class ReadingSchema(msgspec.Struct, frozen=True):
    """The meaning of a point's values: which nets, which versions, which channels in which order."""

    nets: tuple[NetVersion, ...]
    channels: tuple[Channel, ...]

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that change with any net, version or channel."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]

    def names(self, kind: ChannelKind) -> tuple[str, ...]:
        """Names of the channels of one kind, in order."""
        return tuple(channel.name for channel in self.channels if channel.kind is kind)


@dataclass(frozen=True, slots=True)
class Point:
    """A face and its reading, on its person's timeline. Stores keep the fields of `contract.points`, no crop."""

    face: Face
    values: NDArray[np.float32]  # (channels,), 0..1, in the order of the reading schema
    picture: bytes | None = None  # JPEG for the person's card, only where the source keeps pictures

    @property
    def source(self) -> str:
        """The face's source."""
        return self.face.source

    @property
    def session(self) -> str:
        """The face's session."""
        return self.face.session

    @property
    def sequence(self) -> int:
        """The face's place in its session."""
        return self.face.sequence


class SkippedReason(StrEnum):
    """Why a delivery became no point."""

    REJECTED = "rejected"  # it cannot be read; the rejected topic says which and why
    SHED = "shed"  # a live face too old to be worth its reading
    NO_RECORD = "no_record"  # the log holds none at this offset: a transaction's marker; stores do not count it


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A delivery passed over: counted per partition, its sequence counts as seen, and the timeline shows a gap."""

    reason: SkippedReason
    source: str | None = None  # None, with session and sequence: the record says not even whose it is
    session: str | None = None
    sequence: int | None = None
    gap: tuple[int, int] | None = None  # [begin, end) µs of event time, with the GapReason of GAP_OF


COUNTED = (SkippedReason.REJECTED, SkippedReason.SHED)  # by stores
GAP_OF = {SkippedReason.REJECTED: GapReason.REJECTED, SkippedReason.SHED: GapReason.DROPPED}

Entry = SessionOpened | Point | Gap | Progress | Erase | Skipped
"""What a store is told of one delivery."""
