"""Places in a video as a user writes them."""

import re

from contract.errors import BadRequest

_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,3}):(\d{1,2}(?:\.\d{1,6})?)", re.ASCII)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h|)", re.ASCII)
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}


def media_time(text: str | None, option: str) -> int | None:
    """µs since the first frame of «90», «90s», «1.5m», «1:30» or «1:02:03.5»; None of None.

    Raises:
        BadRequest: it is written in another way; the line names the option.
    """
    if text is None:
        return None
    if clock := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return round((3600 * hours + 60 * minutes + seconds) * 1_000_000)
    if number := _SECONDS.fullmatch(text.strip()):
        return round(float(number[1]) * _UNITS_S[number[2]] * 1_000_000)
    raise BadRequest(f"{option} {text[:40]!r}: wanted seconds since the first frame, such as 90, 1.5m or 1:02:03.5")
