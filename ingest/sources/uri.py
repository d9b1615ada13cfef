"""Addresses of cameras: what FFmpeg is given, and a printable form that hides what may be a secret.

A part may be kept out of the command line and the process list: `${CAM_PASSWORD}` stands for a variable of the
environment, `${file:/run/secrets/cam}` for the first line of a file. Beside user and password their values are
percent-encoded; where a reference begins the address it holds the address itself.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from contract.errors import RefusedSource

WANTED = "wanted rtsp://[user:password@]host[:port]/path or rtsps://…"
HIDDEN = "…"
TRANSPORTS = ("tcp", "udp")
TOKEN_LENGTH = 20  # letters and digits in a row, from which a part of a path may be a key
_REFERENCE = re.compile(r"\$\{(?:(file):)?([^{}]+)\}")
_TOKEN = re.compile(rf"(?=.*\d)[\w-]{{{TOKEN_LENGTH},}}")


@dataclass(frozen=True, slots=True)
class SourceUri:
    """Where a camera answers. Printing it shows no secret."""

    shown: str  # scheme, host, port and path; «…» for parts of the path that may be secrets
    host: str
    url: str = field(repr=False)  # with user, password and query: given to FFmpeg and to nothing else
    transport: str = "tcp"

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> "SourceUri":
        """Return the parts of an RTSP address.

        Args:
            text: the address, or one with references.
            environment: what references name; None: that of the process.

        Raises:
            RefusedSource: another scheme, no host, characters that no address has, or a reference to nothing. The
                message shows no secret.
        """
        url = _resolved(text, os.environ if environment is None else environment)
        if any(character.isspace() or not character.isprintable() for character in url):
            raise RefusedSource(f"the address holds a blank or a control character; {WANTED}")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise RefusedSource(f"the address has no valid host and port; {WANTED}") from None
        if parts.scheme not in ("rtsp", "rtsps"):
            raise RefusedSource(f"the address begins with {parts.scheme[:20]}://; {WANTED}")
        if not host:
            raise RefusedSource(f"the address names no host; {WANTED}")
        if "@" in parts.path + parts.query + parts.fragment:
            raise RefusedSource(f"the address holds @ behind its host; wanted %2F %3F %23 %40 in a password; {WANTED}")
        at = f"[{host}]" if ":" in host else host
        place = f"{parts.scheme}://{at}{'' if port is None else f':{port}'}{_shown_path(parts.path)}"
        url = parts.scheme + url[len(parts.scheme) :]  # FFmpeg knows no RTSP://
        others, transport = _transport_of(parts.query)
        return cls(place, host, url if others is None else parts._replace(query=others).geturl(), transport)

    def hide(self, text: str) -> str:
        """Return the text, such as a line of FFmpeg's, with the printable form in place of the address."""
        for secret in (self.url, unquote(self.url)):
            text = text.replace(secret, self.shown)
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text

    def _secrets(self) -> set[str]:
        """What of the address is never shown, whole and in its pieces, encoded or not."""
        parts = urlsplit(self.url)
        hidden = [piece for piece in parts.path.split("/") if _shown_piece(piece) != piece]
        whole = [*hidden, parts.query, parts.fragment, parts.netloc.rpartition("@")[0]]
        pieces = [piece for each in whole for piece in re.split(r"[=&;_:@/]", unquote(each))]
        forms = {form for each in (*whole, *pieces) for form in (each, unquote(each), quote(each, safe=""))}
        return {form for form in forms if len(form) >= 4}


def is_reference(text: str) -> bool:
    """Return whether the text begins with a reference, which may hold a whole address."""
    return _REFERENCE.match(text) is not None


def _resolved(text: str, environment: Mapping[str, str]) -> str:
    """The text with the values of its references."""

    def value_of(found: re.Match[str]) -> str:
        value = _from_file(Path(found[2])) if found[1] else environment.get(found[2])
        if value is None:
            raise RefusedSource(f"${{{found[2]}}} of an address is not set; wanted a variable of the environment")
        return value if found.start() == 0 else quote(value, safe="")

    return _REFERENCE.sub(value_of, text)


def _from_file(path: Path) -> str:
    try:
        return (path.read_text().splitlines() or [""])[0].strip()
    except (OSError, UnicodeDecodeError):
        raise RefusedSource(f"{path} of an address cannot be read; wanted a file of one line") from None


def _shown_path(path: str) -> str:
    return "/".join(map(_shown_piece, path.split("/")))


def _shown_piece(piece: str) -> str:
    """One part of a path: recorders take user and password there, as `user=admin&password=…` or `live;password=…`."""
    plain = unquote(piece)
    if ";" in plain:
        return f"{_shown_piece(plain.partition(';')[0])};{HIDDEN}"
    return HIDDEN if any(sign in plain for sign in "=&@:") or _TOKEN.fullmatch(plain) else piece


def _transport_of(query: str) -> tuple[str | None, str]:
    """The query without `transport=`, None where it holds none, and the transport."""
    pairs = parse_qsl(query, keep_blank_values=True)
    asked = [value for name, value in pairs if name == "transport"]
    if not asked:
        return None, TRANSPORTS[0]
    if asked[-1] not in TRANSPORTS:
        raise RefusedSource(f"transport={asked[-1][:10]} of an address; wanted {' or '.join(TRANSPORTS)}")
    return urlencode([pair for pair in pairs if pair[0] != "transport"]), asked[-1]
