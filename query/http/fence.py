"""What surrounds every answer: which host names are served, and the headers a browser obeys."""

import re
import socket
from ipaddress import ip_address
from urllib.parse import unquote

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query.listen import Listen

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")

_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The hash is that of nothing: plotly adds an empty style element and fills it by script.
        "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
        "img-src 'self' data: blob:",  # data: plotly draws heat maps into a picture; blob: downloads
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.ASCII)
_ESCAPED = re.compile(r"%(?=2[5Ff])")


class Fence:
    """Serves known host names only, so that no foreign page can reach the service by DNS rebinding.

    A service beyond loopback is reached by its address as well: no name can be rebound to lead a browser there.
    Personal data is never stored on the way: answers that do not say otherwise are `no-store`.
    HEAD is answered as GET is, without the body.
    """

    def __init__(self, app: ASGIApp, listen: Listen) -> None:
        self._app = app
        self._hosts = {*LOOPBACK_HOSTS, *(host.lower() for host in listen.allowed_hosts)}
        self._takes_addresses = not listen.is_loopback
        if not listen.is_loopback:
            self._hosts |= {socket.gethostname().lower(), listen.host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request behind the fence."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if not self._serves(_host(scope)):
            return await _refuse(scope, send_fenced)
        scope = dict(scope, path=_path(scope))
        if scope["method"] == "HEAD":
            return await _head(self._app, scope, receive, send_fenced)
        return await self._app(scope, receive, send_fenced)

    def _serves(self, host: str | None) -> bool:
        return host is not None and (host in self._hosts or (self._takes_addresses and _is_address(host)))


def segment(text: str) -> str:
    """Return the text of a path segment as `_path` leaves it: `%2F` and `%25` are still escaped there."""
    return text.replace("%2F", "/").replace("%2f", "/").replace("%25", "%")


def _path(scope: Scope) -> str:
    """Return the path, unquoted but for slashes and percent signs: a slash within an id separates no segments."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None or b"%2" not in raw:
        return str(scope["path"])
    return unquote(_ESCAPED.sub("%25", raw.partition(b"?")[0].decode("latin-1")))


def _host(scope: Scope) -> str | None:
    """Return the host name that was sent, without its port; None: that is no host name."""
    match = _HOST.fullmatch(Headers(scope=scope).get("host", "").lower())
    return match[1] if match else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


async def _head(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as GET does, without the body; a stream is asked for no more than its head."""
    has_begun = False

    async def send_head(message: Message) -> None:
        nonlocal has_begun
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            has_begun = True

    async def receive_or_leave() -> Message:
        return {"type": "http.disconnect"} if has_begun else await receive()

    await app(dict(scope, method="GET"), receive_or_leave, send_head)


async def _refuse(scope: Scope, send: Send) -> None:
    body = orjson.dumps(
        {
            "type": "urn:mien:problem:unknown-host",
            "title": "Unknown host",
            "status": 400,
            "detail": "the host name in the request is not one of this service",
            "instance": scope["path"][:200],
        }
    )
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
