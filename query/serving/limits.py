"""The limits of one HTTP connection, and how many there may be.

uvicorn waits for ever for the rest of a request and for a client that does not read its answer; a few hundred such
connections take all file descriptors of a process. Here every connection has a deadline for the request that it
sends and for the answer that it reads, and there are never more of them than the process has descriptors for.
"""

import asyncio
import logging
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import h11
import orjson
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0  # from the first byte of a request to its last
STALL_S = 30.0  # without reading an answer that waits
MOST_CONNECTIONS = 1_000
SPARE_DESCRIPTORS = 64  # for the store, the log, the sockets that listen
LOG_EVERY_S = 60.0
HEAD_BYTES = 32 * 1024  # request line and headers

_log = logging.getLogger(__name__)


def _canned(status: str, name: str, title: str, detail: str) -> bytes:
    """Return a whole answer, a problem document, that ends the connection."""
    problem = {"type": f"urn:mien:problem:{name}", "title": title, "status": int(status[:3]), "detail": detail}
    body = orjson.dumps(problem)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
    retry = "Retry-After: 2\r\n" if status.startswith("503") else ""
    return f"{head}{retry}Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode() + body


_BUSY = _canned("503 Service Unavailable", "too-many-connections", "Too many connections", "ask again shortly")
_LATE = _canned("408 Request Timeout", "request-timeout", "Request timeout", "the request came too slowly")
_MALFORMED = _canned("400 Bad Request", "malformed", "Malformed request", "this is not HTTP/1.1, or too large a head")


@dataclass(slots=True)
class Limits:
    """Bounds of the connections of one server, and what they cost clients so far.

    `refused` counts by kind: `connections` over the bound, `late` and `malformed` requests, `stalled` readers,
    `descriptors` that the system did not give. A kind is logged at most once a minute, with its count.
    """

    request_s: float = REQUEST_S
    stall_s: float = STALL_S
    connections: int = field(default_factory=lambda: _most_connections())
    refused: Counter[str] = field(default_factory=Counter)
    _logged: dict[str, float] = field(default_factory=dict)

    def refuse(self, kind: str) -> None:
        """Count a refusal."""
        self.refused[kind] += 1
        now = time.monotonic()
        if now - self._logged.get(kind, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[kind] = now
            _log.warning("HTTP: %s refused or cut: %d so far", kind, self.refused[kind])

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count what the event loop cannot accept; everything else is logged as usual."""
        if isinstance(context.get("exception"), OSError) and "socket.accept()" in context.get("message", ""):
            self.refuse("descriptors")
        else:
            loop.default_exception_handler(context)


def protocol_with(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's HTTP protocol, bounded by these limits."""

    class Limited(LimitedProtocol):
        bounds = limits

    return Limited


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a deadline for requests, a deadline for readers and a bound on connections."""

    bounds: Limits
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer 503 where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            self.bounds.refuse("connections")
            transport.write(_BUSY)
            transport.close()
        else:
            self._watch_request()

    def data_received(self, data: bytes) -> None:
        """Go on with the request; its deadline stays where its first byte put it."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch_request()

    def on_response_complete(self) -> None:
        """Go on with the next request, of which a part may be there."""
        super().on_response_complete()
        self._watch_request()

    def pause_writing(self) -> None:
        """Give the client a while to read."""
        super().pause_writing()
        self._stall = self.loop.call_later(self.bounds.stall_s, self._cut, "stalled")

    def resume_writing(self) -> None:
        """Return the client reads."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        for timer in (self._deadline, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem document, and end the connection."""
        self.bounds.refuse("malformed")
        self.transport.write(_MALFORMED)
        self.transport.close()

    def _watch_request(self) -> None:
        """Arm the deadline while a request is on its way, disarm it once it is there."""
        if self._waits_for_client():
            self._deadline = self._deadline or self.loop.call_later(self.bounds.request_s, self._late)
        elif self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _waits_for_client(self) -> bool:
        if self.conn.their_state is h11.SEND_BODY:
            return True
        if self.conn.their_state is not h11.IDLE:
            return False
        fresh = self.cycle is None  # nothing came yet: uvicorn's own deadline begins after the first answer
        return fresh or bool(self.conn.trailing_data[0])

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(_LATE)
            self.bounds.refuse("late")
            self.transport.close()
        else:
            self._cut("late")

    def _cut(self, kind: str) -> None:
        """End the connection at once; what waits to be sent is dropped."""
        if not self.transport.is_closing() or kind == "stalled":
            self.bounds.refuse(kind)
            self.transport.abort()


def _most_connections() -> int:
    """Return how many connections the process has descriptors for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(8, min(MOST_CONNECTIONS, soft - SPARE_DESCRIPTORS))
    )
