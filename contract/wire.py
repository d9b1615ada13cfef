"""The bytes of a record on the faces topic: headers that tell what it is, a msgpack array that says it.

`content-type` names kind and version. A newer minor version may only append fields to a kind, which older readers pass
over; anything else, a new kind too, needs a new major version, which older readers refuse to guess (`WireTooNew`).
What stands at the edge of the system is checked here once: whatever comes out may be trusted by worker and store.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import msgspec

from contract.bodies import KINDS, SHOWN_LIMIT, Kind, NoRecord, check_name
from contract.records import Record, Unreadable
from contract.topics import MESSAGE_LIMIT

MAJOR, MINOR = 1, 0
CONTENT_TYPE, STALE_AT, TRACEPARENT = "content-type", "stale-at", "traceparent"
REASON_LIMIT = 300  # characters

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
    """What a message says."""

    record: Record | Unreadable
    stale_at: int | None = None  # µs since the epoch from which on a live face is not worth reading
    traceparent: str | None = None  # as it came (W3C Trace Context)


def message_of(record: Record, *, stale_at: int | None = None, traceparent: str | None = None) -> Message:
    """The message that carries a record. What `record_of` would refuse is not refused here; its size is the caller's.

    Raises:
        TypeError: a face whose crop is not JPEG bytes.
    """
    content_type, body_of = _KIND_OF_RECORD[type(record)]
    headers = [(CONTENT_TYPE, content_type)]
    if stale_at is not None:
        headers.append((STALE_AT, b"%d" % stale_at))
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode()))
    return Message(record.source.encode(), _encode(body_of(record)), headers)


def record_of(key: bytes | None, value: bytes | None, headers: Headers) -> Read:
    """What a message says; `Unreadable` with the reason if it is no record of ours, whatever its bytes are.

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


_encode = msgspec.msgpack.Encoder().encode
_CONTENT_TYPE = re.compile(rb"application/vnd\.mien\.([a-z_]{1,32})\+msgpack;v=([0-9]{1,4})\.([0-9]{1,4})")
_KINDS = {kind.name: kind for kind in KINDS}
_KIND_OF_RECORD = {
    kind.record: (b"application/vnd.mien.%s+msgpack;v=%d.%d" % (kind.name.encode(), MAJOR, MINOR), kind.body_of)
    for kind in KINDS
}


def _read(key: bytes | None, value: bytes | None, headers: Headers) -> Read:
    found = dict(headers)
    if len(found) != len(headers):
        _check_once(headers)
    kind = _kind_of(found.get(CONTENT_TYPE) or b"")
    if value is None or len(value) > MESSAGE_LIMIT:
        raise NoRecord(f"{len(value or b'')} bytes, wanted a record of at most {MESSAGE_LIMIT}")
    body = kind.decode(value)
    if key is None or key != body.source.encode():
        raise NoRecord(f"source {body.source!r} under the key {key and key[:SHOWN_LIMIT]!r}, wanted them equal")
    check_name("source", body.source)
    check_name("session", body.session)
    record = kind.record_of(body)
    if len(found) == 1:
        return Read(record)
    return Read(record, _stale_at(found.get(STALE_AT)), _traceparent(found.get(TRACEPARENT)))


@lru_cache(maxsize=64)
def _kind_of(content_type: bytes) -> Kind:
    """What reads bodies of this type; a producer sends the same few strings for ever."""
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
    return _KINDS[kind]


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
