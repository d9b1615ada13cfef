"""How many requests were answered, how, and in what time; `/metrics` shows it to Prometheus."""

import time
from collections import Counter, defaultdict

from fastapi import APIRouter
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.telemetry import PAGE_TYPE, Samples, Telemetry


class Requests:
    """Counts of one service; a request costs two additions."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()  # by status
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.telemetry = Telemetry("mien.query")
        self.telemetry.counter("mien_query_requests", "Requests by the status of their answer.", self._counts)
        self.telemetry.counter("mien_query_seconds", "Time to the whole answer, by its status.", self._seconds)

    def mount(self, router: APIRouter) -> None:
        """Add `/metrics`; no address of a person or source is a label."""
        router.add_api_route("/metrics", self._page, include_in_schema=False)

    def _page(self) -> PlainTextResponse:
        return PlainTextResponse(self.telemetry.page(), media_type=PAGE_TYPE)

    def _counts(self) -> Samples:
        return [(count, {"status": status}) for status, count in sorted(self.counts.items())]

    def _seconds(self) -> Samples:
        return [(spent, {"status": status}) for status, spent in sorted(self.seconds.items())]


class Measured:
    """ASGI middleware that counts requests."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count the answer when it is out."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, begun = "500", time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._requests.counts[status] += 1
            self._requests.seconds[status] += time.perf_counter() - begun
