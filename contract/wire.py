"""Writes and reads the bytes of a record on the faces topic: headers that name its kind, a msgpack array of its fields.

`content-type` names kind and version. A newer minor version may only append fields to a kind, which older readers
ignore; anything else, a new kind too, needs a new major version, which older readers refuse (`WireTooNew`).
Records from outside are checked here once: worker and store trust whatever `record_of` returns.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from contract.records import Erase, Face, Gap, Progress, Record, SessionOpened, Unreadable
from contract.topics import MESSAGE_LIMIT

MAJOR, MINOR = 1, 1
CONTENT_TYPE, STALE_AT, TRACEPARENT = "content-type", "stale-at", "traceparent"
REASON_LIMIT = 300  # characters
NAME_LIMIT = 512  # bytes of UTF-8: ours stay below 150, and a store's key of three such names below 5 KB
SHOWN_LIMIT = 128  # characters of a name that a message repeats

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


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
    """A message's record and headers."""

    record: Record | Unreadable
    stale_at: int | None = None  # µs since the epoch from which on a live face is not worth reading
    traceparent: str | None = None  # as it came (W3C Trace Context)


def message_of(record: Record, *, stale_at: int | None = None, traceparent: str | None = None) -> Message:
    """The message that carries a record. Nothing is checked: neither ranges, as `record_of` does, nor the size.

    Raises:
        TypeError: a face whose crop is not JPEG bytes.
    """
    headers = [(CONTENT_TYPE, _CONTENT_TYPES[type(record)])]
    if stale_at is not None:
        headers.append((STALE_AT, b"%d" % stale_at))
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode()))
    return Message(record.source.encode(), _encode(_writable(record)), headers)


def record_of(key: bytes | None, value: bytes | None, headers: Headers) -> Read:
    """The record in a message; `Unreadable` with the reason if it is no record of ours, whatever its bytes are.

    Raises:
        WireTooNew: its major version is newer than this reader.
    """
    try:
        return _read(key, value, headers)
    except (NoRecord, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as flaw:
        body = value or b""
        reason = _shown(str(flaw), REASON_LIMIT) if value is not None else "no value, wanted a record"
        key_text = _shown((key or b"")[: 4 * SHOWN_LIMIT].decode(errors="backslashreplace"), SHOWN_LIMIT)
        return Read(Unreadable(reason=reason, key=key_text, sha256=hashlib.sha256(body).hexdigest(), size=len(body)))


class NoRecord(Exception):
    """Why a message is no record; the text is not escaped yet. Internal."""


def _refuse_pixels(value: object) -> Any:
    raise TypeError(f"a crop of {type(value).__name__}, wanted JPEG bytes")


_KINDS: dict[str, type[Record]] = {
    "session": SessionOpened,
    "face": Face,
    "gap": Gap,
    "progress": Progress,
    "erase": Erase,
}
_CONTENT_TYPES = {
    kind: b"application/vnd.mien.%s+msgpack;v=%d.%d" % (name.encode(), MAJOR, MINOR) for name, kind in _KINDS.items()
}
_DECODERS = {name: msgspec.msgpack.Decoder(kind) for name, kind in _KINDS.items()}
_CONTENT_TYPE = re.compile(rb"application/vnd\.mien\.([a-z_]{1,32})\+msgpack;v=([0-9]{1,4})\.([0-9]{1,4})")
_encode = msgspec.msgpack.Encoder(enc_hook=_refuse_pixels).encode


def _writable(record: Record) -> Record:
    """The record with a `uri` that UTF-8 can carry: the name of a file need not be."""
    if type(record) is SessionOpened:
        return replace(record, uri=record.uri.encode(errors="backslashreplace").decode())
    return record


def _read(key: bytes | None, value: bytes | None, headers: Headers) -> Read:
    found = dict(headers)
    if len(found) != len(headers):
        _check_once(headers)
    decoder = _decoder_of(found.get(CONTENT_TYPE) or b"")
    if value is None or len(value) > MESSAGE_LIMIT:
        raise NoRecord(f"{len(value or b'')} bytes, wanted a record of at most {MESSAGE_LIMIT}")
    record = decoder.decode(value)
    if key is None or key != record.source.encode():
        raise NoRecord(f"source {record.source!r} under the key {key and key[:SHOWN_LIMIT]!r}, wanted them equal")
    _check_name("source", record.source)
    _check_name("session", record.session)
    if isinstance(
        record, Face | Erase
    ):  # a crop is checked where it is decoded: whose face it is must be known by then
        _check_name("person", record.person)
    if isinstance(record, Gap) and record.end < record.begin:
        raise NoRecord(f"a gap from {record.begin} to {record.end}, wanted its end not before its begin")
    if len(found) == 1:
        return Read(record)
    return Read(record, _stale_at(found.get(STALE_AT)), _traceparent(found.get(TRACEPARENT)))


def _check_name(what: str, name: str) -> None:
    """Reject names that are empty, unprintable or too long, so that none can break a log line or bloat a store key."""
    if not (name and name.isprintable() and len(name) <= NAME_LIMIT and len(name.encode()) <= NAME_LIMIT):
        raise NoRecord(
            f"{what} {name[:SHOWN_LIMIT]!r} ({len(name)} characters), wanted 1 to {NAME_LIMIT} printable bytes"
        )


@lru_cache(maxsize=64)
def _decoder_of(content_type: bytes) -> "msgspec.msgpack.Decoder[Any]":
    """The decoder of values of this type; cached, as a producer sends the same few strings for ever."""
    named = _CONTENT_TYPE.fullmatch(content_type)
    if named is None:
        raise NoRecord(
            f"content type {content_type[:SHOWN_LIMIT]!r}, wanted application/vnd.mien.…+msgpack;v={MAJOR}.…"
        )
    kind, major = named[1].decode(), int(named[2])
    if major > MAJOR:
        raise WireTooNew(f"a record {content_type.decode()}; this Mien reads versions up to {MAJOR}.x")
    if major < MAJOR or kind not in _KINDS:
        raise NoRecord(f"content type {content_type!r}, wanted one of {' '.join(_KINDS)} of version {MAJOR}")
    return _DECODERS[kind]


def _check_once(headers: Headers) -> None:
    names = [name for name, _ in headers]
    if twice := [name for name in (CONTENT_TYPE, STALE_AT, TRACEPARENT) if names.count(name) > 1]:
        raise NoRecord(f"the header {twice[0]} more than once")


def _stale_at(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not (text.isdigit() and len(text) <= 18):
        raise NoRecord(f"the header {STALE_AT} is {text[:SHOWN_LIMIT]!r}, wanted µs since the epoch")
    return int(text)


def _traceparent(text: bytes | None) -> str | None:
    """As it came; what is no ASCII is passed over, as W3C Trace Context wants."""
    return text.decode() if text is not None and text.isascii() and len(text) <= SHOWN_LIMIT else None


def _shown(text: str, limit: int) -> str:
    """One line: what does not print is escaped, what is too long is cut."""
    line = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:limit])
    return line if len(line) <= limit and len(text) <= limit else f"{line[: limit - 1]}…"
