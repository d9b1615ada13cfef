"""Addresses of Redis: their parts, and a form without secrets. Needs no client, which may not be installed."""

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

SCHEMES = ("redis", "rediss", "unix")
UNREADABLE = "a Redis address that cannot be read"  # shown in the place of one that may hold a secret anywhere


def shown(url: str) -> str:
    """Return the address without user, password and options; one of unclear parts is not repeated at all."""
    parts = parts_of(url)
    if parts is None:
        return UNREADABLE
    number = "".join(f"?db={each}" for each in parse_qs(parts.query).get("db", ())[:1])
    if parts.scheme == "unix":
        return f"unix://{parts.path}{number}"
    host = parts.hostname or "localhost"
    place = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{place}{port}{parts.path}{number}"


def parts_of(url: str) -> SplitResult | None:
    """Return the parts of an address; None where a password could stand in a part that is shown.

    A password with an unescaped `/`, `?` or `#` moves the end of the host: what follows would be taken for a path.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    if not valid or parts.fragment or "#" in url or "@" in parts.path + parts.query:
        return None
    if parts.scheme == "unix":
        return parts if parts.path.strip("/") else None
    return parts if re.fullmatch(r"(/\d*)?", parts.path) else None
