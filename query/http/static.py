"""The dashboard's files, and the chart library from its installed package. Nothing comes from elsewhere."""

import gzip
import hashlib
import importlib.metadata
import importlib.resources
import re
from collections.abc import Callable
from functools import cached_property
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_MAP_STYLE = re.compile(rb'getElementById\("([0-9a-f]{64})"\)')
_WORTH_ZIPPING = 1_024  # bytes


class Asset:
    """A file, read and packed once, when it is first asked for."""

    def __init__(self, read: Callable[[], bytes], name: str, cache_control: str) -> None:
        self._read = read
        self._headers = {"Cache-Control": cache_control, "Vary": "Accept-Encoding"}
        self._media_type = _MEDIA_TYPES["." + name.rpartition(".")[2]]

    @cached_property
    def _body(self) -> bytes:
        return self._read()

    @cached_property
    def _zipped(self) -> bytes:
        return gzip.compress(self._body, 6, mtime=0)

    @cached_property
    def _tag(self) -> str:
        return f'"{hashlib.sha256(self._body).hexdigest()[:20]}"'

    def answer(self, request: Request) -> Response:
        """Return the file, or 304 where the browser has it already."""
        headers = self._headers | {"ETag": self._tag}
        known = request.headers.get("if-none-match", "")
        if self._tag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        body = self._body
        if len(body) > _WORTH_ZIPPING and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers = self._zipped, headers | {"Content-Encoding": "gzip"}
        return Response(body, headers=headers, media_type=self._media_type)


def dashboard() -> APIRouter:
    """Return the page at /, its files, and plotly.js under an address that changes with its version."""
    folder = importlib.resources.files("query") / "dashboard"
    version = importlib.metadata.version("plotly")
    assets = {file.name: Asset(file.read_bytes, file.name, "no-cache") for file in folder.iterdir() if _is_asset(file)}
    plotly = importlib.resources.files("plotly") / "package_data" / "plotly.min.js"
    assets["index.html"] = Asset(lambda: _page(folder, plotly, version), "index.html", "no-cache")
    assets[f"plotly-{version}.js"] = Asset(plotly.read_bytes, plotly.name, "public, max-age=31536000, immutable")
    router = APIRouter(include_in_schema=False)

    def add(path: str, asset: Asset) -> None:
        @router.api_route(path, methods=["GET", "HEAD"])
        def file(request: Request) -> Response:
            return asset.answer(request)

    add("/", assets["index.html"])
    for name, asset in assets.items():
        add(f"/dashboard/{name}", asset)
    return router


def _is_asset(file: Traversable) -> bool:
    return any(file.name.endswith(ending) for ending in _MEDIA_TYPES)


def _page(folder: Traversable, plotly: Traversable, version: str) -> bytes:
    """Return the page, naming the chart library as it is installed.

    The library brings an inline style sheet for maps, unless an element of a certain id is there. Our content policy
    refuses inline styles and we draw no maps: our own style sheet takes that id.
    """
    guard = _MAP_STYLE.search(plotly.read_bytes())
    page = (folder / "index.html").read_bytes().replace(b"{{plotly}}", f"plotly-{version}.js".encode())
    return page.replace(b"{{plotly-style}}", guard[1] if guard else b"style")
