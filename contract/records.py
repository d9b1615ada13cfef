"""What a source says on the bus, in order: it opens a session, shows faces, admits gaps, reports progress.

One source lies on one partition; within a session `sequence` rises by one per record and depends only on the
source and the settings, so a repeated run cannot create new facts. Times are event times: µs since the epoch,
or since the first frame of a file that does not say when it was recorded.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason

Crop: TypeAlias = NDArray[np.uint8] | bytes
"""An aligned face: (edge, edge, 3) u8 RGB when handed over in one process, JPEG bytes on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good a crop is. All but the angles lie in 0..1, higher is better; angles in degrees, from the five points."""

    overall: float  # size × sharpness × pose × share of the crop inside the frame
    sharpness: float
    yaw_deg: float  # positive: turned to the picture's right
    pitch_deg: float  # positive: looking up
    roll_deg: float  # positive: clockwise in the picture
    score: float  # the detector's confidence, or the tracker's between two detections


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    source: str
    session: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(_Record):
    """The first record of a session (sequence 0): what the source is."""

    uri: str  # without user or password
    event_time: int  # of the first frame
    dated: bool  # False: event times count from the first frame, the date is unknown
    size_wh: tuple[int, int]  # px, upright
    fps: float | None  # average frame rate, if the container knows it
    sample_hz: float | None  # frames looked at per second of media time; None: every frame
    keeps_pictures: bool  # may a small picture of each person be kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Face(_Record):
    """One face in one frame."""

    event_time: int
    frame: int  # index in the session, counted over all frames of the source
    track: int
    person: str
    box_xywh: tuple[float, float, float, float]  # px of the upright source picture
    quality: Quality
    crop: Crop


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(_Record):
    """A stretch [begin, end) that was not looked at."""

    begin: int
    end: int
    reason: GapReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(_Record):
    """Up to here (exclusive) the source has been looked at; everything earlier is final."""

    event_time: int
    frames: int  # frames decoded so far
    looked_at: int  # of these, frames searched for faces
    closed: bool  # the session ends here


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase(_Record):
    """Forget a person: delete what is stored, refuse what is replayed."""

    person: str


Record: TypeAlias = SessionOpened | Face | Gap | Progress | Erase


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """What stands for a message that is no record of ours: poison, passed over in order."""

    reason: str  # one line: what was seen, what was wanted
    key: str  # the message's key as text, cut and escaped; usually the source
    sha256: str  # of the message's value
    size: int  # bytes of it


@dataclass(frozen=True, slots=True)
class Delivery:
    """A record with its place in the log: `offset` is its own, the next one is `offset + 1`."""

    log: str  # identity of the topic; another log never continues this one
    partition: int
    offset: int
    record: Record | Unreadable
    stale_at: int | None = None  # µs since the epoch from which on a live face is not worth reading; None: always is
