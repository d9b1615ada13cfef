"""What the bytes of each kind of record hold, in which order and in which range.

Bodies are msgpack arrays, one msgspec struct per kind. The order of the fields is the format: new ones are appended,
with a default, under a new minor version of `contract.wire`; none is ever taken away or given another meaning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from contract.labels import GapReason
from contract.records import Erase, Face, Gap, Progress, Quality, Record, SessionOpened

NAME_LIMIT = 512  # bytes of UTF-8: ours stay below 150, and a store's key of three such names below 5 KB
URI_LIMIT = 8192  # characters: twice the longest path of Linux
SHOWN_LIMIT = 128  # characters of a name that a message repeats

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


class NoRecord(Exception):
    """Why a message is no record; the text is not escaped yet."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record: its word in the content type, and the ways between record, body and bytes."""

    name: str
    record: type
    body_of: Callable[[Any], "_Body"]
    decode: Callable[[bytes], Any]  # raises msgspec.DecodeError
    record_of: Callable[[Any], Record]  # raises NoRecord


def check_name(what: str, name: str) -> None:
    """Nothing, if the name is printable and bounded: no name breaks a line, a log or a page, no key of a store grows.

    Raises:
        NoRecord: it is not.
    """
    if not (name and name.isprintable() and len(name) <= NAME_LIMIT and len(name.encode()) <= NAME_LIMIT):
        raise NoRecord(
            f"{what} {name[:SHOWN_LIMIT]!r} ({len(name)} characters), wanted 1 to {NAME_LIMIT} printable bytes"
        )


class _Body(msgspec.Struct, array_like=True, frozen=True, gc=False):
    source: str
    session: str
    sequence: _Count


class _SessionOpenedBody(_Body, array_like=True, frozen=True, gc=False):
    uri: Annotated[str, Meta(max_length=URI_LIMIT)]
    event_time: _Time
    dated: bool
    size_wh: tuple[_Edge, _Edge]
    fps: _Rate | None
    sample_hz: _Rate | None
    keeps_pictures: bool


class _FaceBody(_Body, array_like=True, frozen=True, gc=False):
    event_time: _Time
    frame: _FrameNumber
    track: _Count
    person: str
    box_xywh: tuple[_Place, _Place, _Extent, _Extent]
    overall: _Share
    sharpness: _Share
    yaw_deg: _Degrees
    pitch_deg: _Degrees
    roll_deg: _Degrees
    score: _Share
    crop: bytes


class _GapBody(_Body, array_like=True, frozen=True, gc=False):
    begin: _Time
    end: _Time
    reason: GapReason


class _ProgressBody(_Body, array_like=True, frozen=True, gc=False):
    event_time: _Time
    frames: _Count
    looked_at: _Count
    closed: bool


class _EraseBody(_Body, array_like=True, frozen=True, gc=False):
    person: str


def _of_opening(opened: SessionOpened) -> _SessionOpenedBody:
    return _SessionOpenedBody(
        opened.source,
        opened.session,
        opened.sequence,
        opened.uri.encode(errors="backslashreplace").decode(),  # the name of a file need not be UTF-8
        opened.event_time,
        opened.dated,
        opened.size_wh,
        opened.fps,
        opened.sample_hz,
        opened.keeps_pictures,
    )


def _of_face(face: Face) -> _FaceBody:
    quality, crop = face.quality, face.crop
    if not isinstance(crop, bytes):
        raise TypeError(f"a crop of {type(crop).__name__}, wanted JPEG bytes")
    return _FaceBody(
        face.source,
        face.session,
        face.sequence,
        face.event_time,
        face.frame,
        face.track,
        face.person,
        face.box_xywh,
        quality.overall,
        quality.sharpness,
        quality.yaw_deg,
        quality.pitch_deg,
        quality.roll_deg,
        quality.score,
        crop,
    )


def _of_gap(gap: Gap) -> _GapBody:
    return _GapBody(gap.source, gap.session, gap.sequence, gap.begin, gap.end, gap.reason)


def _of_progress(said: Progress) -> _ProgressBody:
    return _ProgressBody(
        said.source, said.session, said.sequence, said.event_time, said.frames, said.looked_at, said.closed
    )


def _of_erasure(erase: Erase) -> _EraseBody:
    return _EraseBody(erase.source, erase.session, erase.sequence, erase.person)


def _opening(body: _SessionOpenedBody) -> SessionOpened:
    return SessionOpened(
        source=body.source,
        session=body.session,
        sequence=body.sequence,
        uri=body.uri,
        event_time=body.event_time,
        dated=body.dated,
        size_wh=body.size_wh,
        fps=body.fps,
        sample_hz=body.sample_hz,
        keeps_pictures=body.keeps_pictures,
    )


def _face(body: _FaceBody) -> Face:
    check_name("person", body.person)  # the crop is looked at by who decodes it: whose face it was is known already
    return Face(
        source=body.source,
        session=body.session,
        sequence=body.sequence,
        event_time=body.event_time,
        frame=body.frame,
        track=body.track,
        person=body.person,
        box_xywh=body.box_xywh,
        quality=Quality(
            overall=body.overall,
            sharpness=body.sharpness,
            yaw_deg=body.yaw_deg,
            pitch_deg=body.pitch_deg,
            roll_deg=body.roll_deg,
            score=body.score,
        ),
        crop=body.crop,
    )


def _gap(body: _GapBody) -> Gap:
    if body.end < body.begin:
        raise NoRecord(f"a gap from {body.begin} to {body.end}, wanted its end not before its begin")
    return Gap(
        source=body.source,
        session=body.session,
        sequence=body.sequence,
        begin=body.begin,
        end=body.end,
        reason=body.reason,
    )


def _progress(body: _ProgressBody) -> Progress:
    return Progress(
        source=body.source,
        session=body.session,
        sequence=body.sequence,
        event_time=body.event_time,
        frames=body.frames,
        looked_at=body.looked_at,
        closed=body.closed,
    )


def _erasure(body: _EraseBody) -> Erase:
    check_name("person", body.person)
    return Erase(source=body.source, session=body.session, sequence=body.sequence, person=body.person)


KINDS = (
    Kind("session", SessionOpened, _of_opening, msgspec.msgpack.Decoder(_SessionOpenedBody).decode, _opening),
    Kind("face", Face, _of_face, msgspec.msgpack.Decoder(_FaceBody).decode, _face),
    Kind("gap", Gap, _of_gap, msgspec.msgpack.Decoder(_GapBody).decode, _gap),
    Kind("progress", Progress, _of_progress, msgspec.msgpack.Decoder(_ProgressBody).decode, _progress),
    Kind("erase", Erase, _of_erasure, msgspec.msgpack.Decoder(_EraseBody).decode, _erasure),
)
