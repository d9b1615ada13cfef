"""Times as they stand in addresses and answers, and as µs inside.

One rule, everywhere: a number is seconds since the first frame of the session, the same axis as `t` in every answer;
a date is ISO 8601 with a zone, and only a dated session knows it. Nothing else is guessed: a Unix time or a count of
microseconds is refused by its size.
"""

import base64
import binascii
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from contract.errors import BadRequest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
FARTHEST_S = 1e9  # 31 years after the first frame; Unix times of today lie beyond it
SHORTEST_EVERY_US = 1_000
LONGEST_EVERY_US = 366 * 86_400 * SECOND_US
_UNITS_US = {"": SECOND_US, "ms": 1_000, "s": SECOND_US, "m": 60 * SECOND_US}
_UNITS_US |= {"h": 3_600 * SECOND_US, "d": 86_400 * SECOND_US}
_EVERY = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d|)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # float() takes 1_000, nan and ١٢ as well
_UNQUOTED_PLUS = re.compile(r"(T[\d:.,]+) (\d\d:?\d\d)")


def seconds(us: int) -> float:
    """Return seconds of a count of microseconds."""
    return us / SECOND_US


def instant(us: int) -> str:
    """Return the ISO 8601 instant, in UTC, of µs since the epoch."""
    return (EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")


def parse_time(text: str, name: str) -> float | datetime:
    """Return seconds since the first frame, or an instant with its zone.

    Raises:
        BadRequest: neither, or so far away that another unit must have been meant.
    """
    if not _NUMBER.fullmatch(text):
        return _parse_instant(text, name)
    number = float(text)
    if not math.isfinite(number) or abs(number) > FARTHEST_S:
        raise BadRequest(
            f"{name}={text[:40]}: a number is seconds since the first frame, at most {FARTHEST_S:.0f}; "
            "write a date as ISO 8601 with a zone, such as 2026-11-21T09:30:00Z"
        )
    return number


def _parse_instant(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_UNQUOTED_PLUS.sub(r"\1+\2", text))  # «+» in an address reads as a blank
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRequest(
            f"{name}={text[:40]!r} is neither a number of seconds since the first frame "
            "nor an ISO 8601 instant with a zone, such as 2026-11-21T09:30:00Z"
        )
    return moment


def event_time(time: float | datetime, opened_at: int, dated: bool, name: str) -> int:
    """Event time in µs of a parsed time, in a session opened at `opened_at`.

    Raises:
        BadRequest: a date was given for a session that does not know its date.
    """
    if isinstance(time, datetime):
        if not dated:
            raise BadRequest(
                f"{name}={time.isoformat()}: this source carries no date; give seconds since its first frame"
            )
        return (time - EPOCH) // timedelta(microseconds=1)
    return opened_at + round(time * SECOND_US)


def parse_every(text: str) -> int:
    """Return microseconds of `0.2s`, `500ms`, `1m`, `1h` or a plain number of seconds.

    Raises:
        BadRequest: not such a length, shorter than a millisecond, longer than 366 days, or not whole microseconds.
    """
    match = _EVERY.fullmatch(text.strip())
    try:
        exact = Decimal(match[1]) * _UNITS_US[match[2]] if match else Decimal("NaN")
    except InvalidOperation:
        exact = Decimal("NaN")
    if exact.is_nan() or exact != exact.to_integral_value() or not SHORTEST_EVERY_US <= exact <= LONGEST_EVERY_US:
        raise BadRequest(
            f"every={text[:40]!r} is not a length from 1ms to 366 days, such as 0.2s, 500ms, 1m, 1h, 1d or 0.2"
        )
    return int(exact)


def cursor_of(*parts: str | int) -> str:
    """Return an opaque token that says where the next page begins."""
    return base64.urlsafe_b64encode("\x1f".join(map(str, parts)).encode()).decode().rstrip("=")


def parse_cursor(token: str, parts: int) -> list[str]:
    """Return the parts of a token made by `cursor_of`.

    Raises:
        BadRequest: it was not made here.
    """
    try:
        plain = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        plain = ""
    found = plain.split("\x1f")
    if len(found) != parts:
        raise BadRequest("cursor is not one that this service gave out; take `next` from an answer unchanged")
    return found


def parse_cursor_us(text: str) -> int:
    """Return the event time in a cursor, within what the store can hold.

    Raises:
        BadRequest: not a number of 64 bits.
    """
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise BadRequest("cursor is not one that this service gave out; take `next` from an answer unchanged")
    return int(text)
