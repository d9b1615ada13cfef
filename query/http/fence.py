"""What surrounds every answer: which host names are served, and the headers a browser shall obey."""

from collections.abc import Sequence

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


class Fence:
    """Serves known host names only, so that no foreign page can reach a loopback service by DNS rebinding.

    Personal data is never stored on the way: answers that do not say otherwise are `no-store`.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

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

        if self._hosts is not None and _host(scope) not in self._hosts:
            return await _refuse(scope, send_fenced)
        return await self._app(scope, receive, send_fenced)


def _host(scope: Scope) -> str:
    """The host name asked for, without its port."""
    host = Headers(scope=scope).get("host", "").lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


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
