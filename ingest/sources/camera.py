"""A network camera (RTSP) as footage: one session per connection, reconnecting until stopped.

Left for later: a supervisor with a process per camera, addresses pinned against redirects, clocks from RTCP.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from contract.errors import RefusedSource, SourceUnavailable
from ingest.footage import Footage, Item, fences
from ingest.footage.ahead import Ahead
from ingest.footage.decoding import Track
from ingest.footage.video import items_of, session_size

OPEN_S, READ_S = 5.0, 5.0
RETRY_S = 0.25
LONGEST_RETRY_S = 30.0
STEADY_S = 10.0  # a session that lasted this long resets the waiting time
LINE = 8  # frames waiting to be looked at; more are dropped and said to be

_WANTED = "wanted rtsp://[user:password@]host[:port]/path or rtsps://…"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a camera answers. Printing it shows no secret."""

    shown: str  # scheme, host, port and path
    host: str
    url: str = field(repr=False)  # with user, password and query: given to FFmpeg and to nothing else

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The parts of an RTSP address.

        Raises:
            RefusedSource: another scheme, no host, or characters that no address has. The message shows no secret.
        """
        if any(character.isspace() or not character.isprintable() for character in url):
            raise RefusedSource(f"the address holds a blank or a control character; {_WANTED}")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise RefusedSource(f"the address has no valid host and port; {_WANTED}") from error
        if parts.scheme not in ("rtsp", "rtsps"):
            raise RefusedSource(f"the address begins with {parts.scheme[:20]}://; {_WANTED}")
        if not host:
            raise RefusedSource(f"the address names no host; {_WANTED}")
        at = f"[{host}]" if ":" in host else host
        place = f"{parts.scheme}://{at}{'' if port is None else f':{port}'}{parts.path}"
        return cls(place, host, parts.scheme + url[len(parts.scheme) :])  # FFmpeg knows no RTSP://


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera at an address."""

    address: Address
    now_us: Callable[[], int] = field(default=lambda: time.time_ns() // 1000, repr=False)

    def sessions(self, stop: Event, track: int | None = None) -> Iterator[Footage]:
        """One footage per connection, until `stop` is set; waits longer and longer while the camera does not answer.

        Raises:
            SourceUnavailable: already the first connection fails.
        """
        down_since: int | None = None
        wait_s = RETRY_S
        while not stop.is_set():
            try:
                footage = CameraSession(self.address, self.now_us, down_since)
            except SourceUnavailable:
                if down_since is None:
                    raise
                stop.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_RETRY_S)
                continue
            connected_at = time.monotonic()
            try:
                yield footage
            finally:
                footage.close()
            down_since = footage.until_us
            wait_s = RETRY_S if time.monotonic() - connected_at >= STEADY_S else min(2 * wait_s, LONGEST_RETRY_S)
            stop.wait(wait_s)

    def session_id(self, footage: Footage, settings: bytes) -> str:
        """When the session began, in UTC to the millisecond: «20261121t031255123»."""
        began = datetime.fromtimestamp((footage.began_at or 0) / 1e6, UTC)
        return began.strftime("%Y%m%dt%H%M%S") + f"{began.microsecond // 1000:03d}"


class CameraSession:
    """One connection to a camera; the first frame has arrived.

    Raises:
        SourceUnavailable: no answer, refused, or no picture within the timeouts.
    """

    duration = None
    frames_expected = None
    start_offset = 0

    def __init__(self, address: Address, now_us: Callable[[], int], down_since: int | None) -> None:
        self._container = connected(address)
        try:
            self._track = Track(self._container, address.shown, decode_threads=1)
            self._decoded = self._track.frames()
            first = next(self._decoded, None)
            if first is None:
                raise SourceUnavailable(f"{address.shown} sent no picture within {READ_S:g} s of connecting")
        except BaseException:
            self._container.close()
            raise
        self._first = first
        self._ahead: Ahead | None = None
        self.notes = self._track.notes
        self.began_at = now_us()
        self.down_since = down_since
        self.size_wh = session_size(first, ())
        self.fps = self._track.claims.fps
        self.until_us = self.began_at

    def items(self, stop: Event) -> Iterator[Item | None]:
        """Frames as they arrive; one that finds `LINE` others waiting is dropped, which leaves a hole."""
        items = items_of(self._track, self._first, self._decoded, self.size_wh)
        self._ahead = Ahead(items, self._hang_up, LINE, keep_all=False)
        for item in self._ahead.until(stop):
            if item is not None:
                self.until_us = self.began_at + getattr(item, "media_time", 0)
            yield item

    def close(self) -> None:
        """Hang up; a thread that still reads does so when it ends."""
        if self._ahead is None:
            self._hang_up()
        else:
            self._ahead.close()

    def _hang_up(self) -> None:
        self._decoded.close()
        self._container.close()


def connected(address: Address) -> InputContainer:
    """The opened stream of a camera.

    Raises:
        SourceUnavailable: with the reason in our words: FFmpeg's own hold the whole address, password included.
    """
    started = time.monotonic()
    secure = address.url.lower().startswith("rtsps")
    try:
        return av.open(
            address.url,
            options=dict(fences.SECURE_CAMERA_OPTIONS if secure else fences.CAMERA_OPTIONS),
            stream_options=fences.stream_options(),
            metadata_errors="ignore",
            timeout=(OPEN_S, READ_S),
        )
    except Exception as error:  # noqa: BLE001 - every way of failing to connect is the same answer
        # FFmpeg reports its own interruption as one of several errors.
        late = time.monotonic() - started >= OPEN_S
        reason = f"does not answer within {OPEN_S:g} s" if late else _reason(error)
    # Raised outside the handler, so that the text with the password is not even its context.
    raise SourceUnavailable(f"{address.shown} {reason}; wanted a camera that sends H.264 or HEVC over RTSP")


def _reason(error: Exception) -> str:
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (av.error.HTTPUnauthorizedError, "refuses the user or the password"),
        (av.error.HTTPForbiddenError, "forbids access"),
        (av.error.HTTPNotFoundError, "knows no stream of this path"),
        (av.error.ConnectionRefusedError, "refuses the connection"),
        (av.error.InvalidDataError, "answers with something that is not RTSP"),
    )
    return next(
        (text for kind, text in reasons if isinstance(error, kind)), f"cannot be reached ({type(error).__name__})"
    )
