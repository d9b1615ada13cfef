"""Takes from a proxy what it states of a request: the client, scheme, host name and prefix it was asked with."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from query.listen import is_prefix


class Proxied:
    """Takes `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` from the named proxies, and from nobody else.

    Args:
        app: what is asked then.
        trusted: addresses and networks of the proxies.
        root_path: the prefix where no proxy names one.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str], root_path: str) -> None:
        self._networks = [ip_network(each) for each in trusted]
        self._root_path = root_path
        self._plain = Prefixed(app)
        # uvicorn's middleware takes client and scheme; it finds the client behind a chain of proxies.
        self._behind = ProxyHeadersMiddleware(self._plain, list(trusted))  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request as the client sent it to the proxy."""
        if scope["type"] != "http":
            return await self._plain(scope, receive, send)
        scope = dict(scope, root_path=self._root_path)
        if not self._trusts(scope):
            return await self._plain(scope, receive, send)
        headers = MutableHeaders(scope=scope)
        if host := headers.get("x-forwarded-host", "").rpartition(",")[2].strip():
            headers["host"] = host
        prefix = headers.get("x-forwarded-prefix", "").rstrip("/")
        if is_prefix(prefix):
            scope["root_path"] = prefix
        scope["headers"] = headers.raw
        return await self._behind(scope, receive, send)  # type: ignore[arg-type]

    def _trusts(self, scope: Scope) -> bool:
        return bool(self._networks) and _is_in(scope.get("client"), self._networks)


class Prefixed:
    """Puts the prefix before a path from which the proxy has cut it, so that both kinds of proxies work."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request; `/mien` is sent on to `/mien/`, where relative addresses lead to the right place."""
        prefix = scope.get("root_path", "")
        if prefix and scope["type"] == "http":
            if scope["path"] == prefix:
                return await RedirectResponse(prefix.rpartition("/")[2] + "/", 308)(scope, receive, send)
            if not scope["path"].startswith(prefix + "/"):
                raw = prefix.encode() + scope.get("raw_path", scope["path"].encode())
                scope = dict(scope, path=prefix + scope["path"], raw_path=raw)
        return await self._app(scope, receive, send)


def _is_in(client: Sequence[object] | None, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if not client:
        return False
    try:
        address = ip_address(str(client[0]))
    except ValueError:
        return False
    return any(address in network for network in networks)
