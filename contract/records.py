"""What a source publishes, in order: it opens a session, shows faces, admits gaps, reports progress.

One source lies on one partition; within a session `sequence` rises by one per record and depends only on the
source and the settings, so a repeated run cannot create new facts. Times are event times: µs since the epoch,
or since the first frame of a file that does not say when it was recorded.

The records are the wire format: msgpack arrays of these fields in this order, checked against these ranges when they
are read (`contract.wire`). Append new fields with a default, under a new minor version; take none away, and give none
another meaning.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from contract.labels import GapReason

Crop: TypeAlias = NDArray[np.uint8] | bytes
"""An aligned face: (edge, edge, 3) u8 RGB when handed over in one process, JPEG bytes on the wire."""

NAME_LIMIT = 512  # characters
SETTINGS_LIMIT = 8192  # characters
URI_LIMIT = 8192  # characters: twice the longest path of Linux

_INT64_MAX = 2**63 - 1
_Count = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
_Time = Annotated[int, Meta(ge=-_INT64_MAX, le=_INT64_MAX)]  # µs
_FrameNumber = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]  # as wide as in a packed point
_Share = Annotated[float, Meta(ge=0, le=1)]  # a range also keeps NaN out
_Degrees = Annotated[float, Meta(ge=-180, le=180)]
_Place = Annotated[float, Meta(ge=-1e6, le=1e6)]  # px
_Extent = Annotated[float, Meta(ge=0, le=1e6)]  # px
_Edge = Annotated[int, Meta(ge=1, le=65_535)]  # px
_Rate = Annotated[float, Meta(gt=0, le=1e9)]  # Hz
if TYPE_CHECKING:
    _WireCrop: TypeAlias = Crop
else:
    _WireCrop = bytes  # all that msgspec reads: pixels never reach the wire


class _Record(msgspec.Struct, array_like=True, frozen=True, gc=False, kw_only=True):
    source: str
    session: str
    sequence: _Count


class SessionOpened(_Record, array_like=True, frozen=True, gc=False, kw_only=True):
    """The first record of a session (sequence 0): what the source is."""

    uri: Annotated[str, Meta(max_length=URI_LIMIT)]  # without user or password
    event_time: _Time  # of the first frame
    dated: bool  # False: event times count from the first frame, the date is unknown
    size_wh: tuple[_Edge, _Edge]  # px, upright
    fps: _Rate | None  # average frame rate, if the container knows it
    sample_hz: _Rate | None  # frames looked at per second of media time; None: every frame
    keeps_pictures: bool  # may a small picture of each person be kept
    start_offset_us: _Time = 0  # of the first frame on a player's clock: 0 where the sound begins no earlier
    name: Annotated[str, Meta(max_length=NAME_LIMIT)] = ""  # that the user gave the source; empty: none
    settings: Annotated[str, Meta(max_length=SETTINGS_LIMIT)] = ""  # how it is looked at: a JSON object, or empty


class Face(_Record, array_like=True, frozen=True, gc=False, kw_only=True):
    """One face in one frame."""

    event_time: _Time
    frame: _FrameNumber  # index in the session, counted over all frames of the source
    track: _Count
    person: str
    box_xywh: tuple[_Place, _Place, _Extent, _Extent]  # px of the upright source picture
    quality: _Share  # size × sharpness × pose × share of the crop inside the frame; higher is better
    sharpness: _Share
    yaw_deg: _Degrees  # positive: turned to the picture's right
    pitch_deg: _Degrees  # positive: looking up
    roll_deg: _Degrees  # positive: clockwise in the picture
    score: _Share  # the detector's confidence, or the tracker's between two detections
    crop: _WireCrop


class Gap(_Record, array_like=True, frozen=True, gc=False, kw_only=True):
    """Event times [begin, end) that were not looked at; or, LOW_QUALITY, in which faces were left out.

    A run that is stopped publishes an interruption: a gap from there to the end of the session, with the counts of
    `Progress`. It takes no number. It carries that of the record that comes next, whoever publishes that, and counts
    until then: so a session has the same records under the same numbers, however often its runs are stopped.
    """

    begin: _Time
    end: _Time
    reason: GapReason
    faces: _Count = 0  # left out, where the reason is LOW_QUALITY
    frames: _Count | None = None  # of an interruption alone: frames decoded so far
    looked_at: _Count | None = None  # of these, frames searched for faces

    @property
    def is_interruption(self) -> bool:
        """Whether it takes no number. One that was written as 1.0 takes two: its own, and that of a Progress."""
        return self.frames is not None


class Progress(_Record, array_like=True, frozen=True, gc=False, kw_only=True):
    """Up to here (exclusive) the source has been looked at; everything earlier is final."""

    event_time: _Time
    frames: _Count  # frames decoded so far
    looked_at: _Count  # of these, frames searched for faces
    closed: bool  # the session ends here


class Erase(_Record, array_like=True, frozen=True, gc=False, kw_only=True):
    """Forget a person: delete what is stored, refuse what is replayed."""

    person: str


Record: TypeAlias = SessionOpened | Face | Gap | Progress | Erase


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Stands for a message that is no record of ours, in its place in the order."""

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
