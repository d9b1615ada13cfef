"""The bytes of a record on the faces topic: headers that tell what it is, a msgpack array that says it.

`content-type` names kind and version. A newer minor version may only append fields to a kind, which older readers pass
over; anything else, a new kind too, needs a new major version, which older readers refuse to guess (`WireTooNew`).
What stands at the edge of the system is checked here once: whatever comes out may be trusted by worker and store.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from contract.labels import GapReason
from contract.records import Erase, Face, Gap, Progress, Quality, Record, SessionOpened, Unreadable
from contract.topics import MESSAGE_LIMIT

MAJOR, MINOR = 1, 0
CONTENT_TYPE, STALE_AT, TRACEPARENT = "content-type", "stale-at", "traceparent"
NAME_LIMIT = 512  # bytes of UTF-8: ours stay below 150, and a store's key of three such names below 5 KB
URI_LIMIT = 8192  # characters: twice the longest path of Linux
REASON_LIMIT, KEY_LIMIT = 300, 128  # characters shown of what is unreadable

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]

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


class WireTooNew(Exception):
    """A record of a major version that only a newer Mien reads. Internal: its partition is parked, never skipped."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record as Kafka carries it."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Read:
    """What a message says."""

    record: Record | Unreadable
    stale_at: int | None = None  # µs since the epoch from which on a live face is not worth reading
    traceparent: str | None = None  # as it came (W3C Trace Context)


def message_of(record: Record, *, stale_at: int | None = None, traceparent: str | None = None) -> Message:
    """The message that carries a record. What `record_of` would refuse is not refused here; its size is the caller's.

    Raises:
        TypeError: a face whose crop is not JPEG bytes.
    """
    content_type, body = _BODIES[type(record)]
    headers = [(CONTENT_TYPE, content_type)]
    if stale_at is not None:
        headers.append((STALE_AT, b"%d" % stale_at))
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode()))
    return Message(record.source.encode(), _encode(body(record)), headers)


def record_of(key: bytes | None, value: bytes | None, headers: Headers) -> Read:
    """What a message says; `Unreadable` with the reason if it is no record of ours, whatever its bytes are.

    Raises:
        WireTooNew: its major version is newer than this reader.
    """
    try:
        return _read(key, value, headers)
    except (_NoRecord, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as flaw:
        body = value or b""
        reason = _shown(str(flaw), REASON_LIMIT) if value is not None else "no value, wanted a record"
        key_text = _shown((key or b"")[: 4 * KEY_LIMIT].decode(errors="backslashreplace"), KEY_LIMIT)
        return Read(Unreadable(reason=reason, key=key_text, sha256=hashlib.sha256(body).hexdigest(), size=len(body)))


class _NoRecord(Exception):
    """Why a message is no record; the text is not escaped yet."""


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
    _check_name("person", body.person)
    if not body.crop.startswith(b"\xff\xd8"):
        raise _NoRecord(f"a crop that begins {body.crop[:4].hex()!r}, wanted a JPEG (ffd8)")
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
        raise _NoRecord(f"a gap from {body.begin} to {body.end}, wanted its end not before its begin")
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
    _check_name("person", body.person)
    return Erase(source=body.source, session=body.session, sequence=body.sequence, person=body.person)


_encode = msgspec.msgpack.Encoder().encode


def _content_type(kind: str) -> bytes:
    return f"application/vnd.mien.{kind}+msgpack;v={MAJOR}.{MINOR}".encode()


_BODIES: dict[type, tuple[bytes, Callable[[Any], _Body]]] = {
    SessionOpened: (_content_type("session"), _of_opening),
    Face: (_content_type("face"), _of_face),
    Gap: (_content_type("gap"), _of_gap),
    Progress: (_content_type("progress"), _of_progress),
    Erase: (_content_type("erase"), _of_erasure),
}


@dataclass(frozen=True, slots=True)
class _Kind:
    decode: Callable[[bytes], Any]
    record: Callable[[Any], Record]


_KINDS = {
    "session": _Kind(msgspec.msgpack.Decoder(_SessionOpenedBody).decode, _opening),
    "face": _Kind(msgspec.msgpack.Decoder(_FaceBody).decode, _face),
    "gap": _Kind(msgspec.msgpack.Decoder(_GapBody).decode, _gap),
    "progress": _Kind(msgspec.msgpack.Decoder(_ProgressBody).decode, _progress),
    "erase": _Kind(msgspec.msgpack.Decoder(_EraseBody).decode, _erasure),
}
_CONTENT_TYPE = re.compile(rb"application/vnd\.mien\.([a-z_]{1,32})\+msgpack;v=([0-9]{1,4})\.([0-9]{1,4})")


def _read(key: bytes | None, value: bytes | None, headers: Headers) -> Read:
    found = dict(headers)
    if len(found) != len(headers):
        _check_once(headers)
    kind = _kind_of(found.get(CONTENT_TYPE) or b"")
    if value is None or len(value) > MESSAGE_LIMIT:
        raise _NoRecord(f"{len(value or b'')} bytes, wanted a record of at most {MESSAGE_LIMIT}")
    body = kind.decode(value)
    if key is None or key != body.source.encode():
        raise _NoRecord(f"source {body.source!r} under the key {key and key[:KEY_LIMIT]!r}, wanted them equal")
    _check_name("source", body.source)
    _check_name("session", body.session)
    record = kind.record(body)
    if len(found) == 1:
        return Read(record)
    return Read(record, _stale_at(found.get(STALE_AT)), _traceparent(found.get(TRACEPARENT)))


@lru_cache(maxsize=64)
def _kind_of(content_type: bytes) -> _Kind:
    """What reads bodies of this type; a producer sends the same few strings for ever."""
    named = _CONTENT_TYPE.fullmatch(content_type)
    if named is None:
        raise _NoRecord(f"content type {content_type[:KEY_LIMIT]!r}, wanted application/vnd.mien.…+msgpack;v={MAJOR}.…")
    kind, major = named[1].decode(), int(named[2])
    if major > MAJOR:
        raise WireTooNew(f"a record {content_type.decode()}; this Mien reads versions up to {MAJOR}.x")
    if major < MAJOR or kind not in _KINDS:
        raise _NoRecord(f"content type {content_type!r}, wanted one of {' '.join(_KINDS)} of version {MAJOR}")
    return _KINDS[kind]


def _check_once(headers: Headers) -> None:
    names = [name for name, _ in headers]
    if twice := [name for name in (CONTENT_TYPE, STALE_AT, TRACEPARENT) if names.count(name) > 1]:
        raise _NoRecord(f"the header {twice[0]} more than once")


def _check_name(what: str, name: str) -> None:
    """Printable, so that no name can break a line, a log or a page; bounded, so that no key of a store grows large."""
    if not (name and name.isprintable() and len(name) <= NAME_LIMIT and len(name.encode()) <= NAME_LIMIT):
        raise _NoRecord(
            f"{what} {name[:KEY_LIMIT]!r} ({len(name)} characters), wanted 1 to {NAME_LIMIT} printable bytes"
        )


def _stale_at(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not (text.isdigit() and len(text) <= 18):
        raise _NoRecord(f"the header {STALE_AT} is {text[:KEY_LIMIT]!r}, wanted µs since the epoch")
    return int(text)


def _traceparent(text: bytes | None) -> str | None:
    """As it came; what is no ASCII is passed over, as W3C Trace Context wants."""
    return text.decode() if text is not None and text.isascii() and len(text) <= KEY_LIMIT else None


def _shown(text: str, limit: int) -> str:
    """One line: what does not print is escaped, what is too long is cut."""
    line = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:limit])
    return line if len(line) <= limit and len(text) <= limit else f"{line[: limit - 1]}…"
