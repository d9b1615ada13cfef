"""A network camera (RTSP) as footage: one session per connection, reconnecting until stopped.

Left for later: a supervisor with a process per camera, addresses pinned against redirects, clocks from RTCP.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

import av
from av.container import InputContainer

from contract.errors import BadSource, SourceUnavailable
from ingest.footage import Footage, Hole, Item, fences
from ingest.footage.ahead import Ahead
from ingest.footage.decoding import Track
from ingest.footage.video import items_of, session_size
from ingest.sources.states import Backoff, CameraState, Condition
from ingest.sources.uri import SourceUri

OPEN_S, READ_S = 5.0, 5.0
STALL_S = 3.0  # without a frame: reported; after READ_S the connection is given up
RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
STEADY_S = 10.0  # a session that lasted this long resets the waiting time
WAITING_FRAMES = 8  # to be looked at; more are dropped, which leaves a hole
STEP_US = 1_000  # between two sessions at least: a session is named by its millisecond

_log = logging.getLogger(__name__)


class CameraDown(SourceUnavailable):
    """A camera shows nothing now; says in which state it is."""

    def __init__(self, state: CameraState, text: str) -> None:
        super().__init__(text)
        self.state = state

    def __reduce__(self) -> tuple[type["CameraDown"], tuple[CameraState, str]]:
        return CameraDown, (self.state, str(self))


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera at an address. It is never final: one that is off, also at the start, is tried until the stop.

    Args:
        must_answer: the first connection has to succeed; for somebody who typed one address and waits for a table.
    """

    address: SourceUri
    must_answer: bool = False
    now_us: Callable[[], int] = field(default=lambda: time.time_ns() // 1000, repr=False)
    condition: Condition = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "condition", Condition(self.address.shown))

    def sessions(self, stop: Event, track: int | None = None) -> Iterator[Footage]:
        """One footage per connection, until `stop` is set; between two there is one gap, whatever failed meanwhile.

        Raises:
            BadSource: the first connection failed, and it must answer.
        """
        must_answer = self.must_answer
        down_since: int | None = None
        backoff = Backoff(RETRY_S, LONGEST_RETRY_S)
        while not stop.is_set():
            self.condition.enter(CameraState.CONNECTING)
            tried_at = self.now_us()
            footage = self._session(down_since) if must_answer else self._connected(down_since, stop, backoff)
            if footage is None:
                down_since = tried_at if down_since is None else down_since
                continue
            must_answer = False
            self.condition.enter(CameraState.LIVE)
            connected_at = time.monotonic()
            try:
                yield footage
            finally:
                footage.close()
            down_since = footage.until_us
            if time.monotonic() - connected_at >= STEADY_S:
                backoff.reset()
            if not stop.is_set():
                self._wait(stop, backoff, footage.ending, "")

    def session_id(self, footage: Footage, settings: bytes) -> str:
        """When the session began, in UTC to the millisecond: «20261121t031255123»."""
        began = datetime.fromtimestamp((footage.began_at or 0) / 1e6, UTC)
        return began.strftime("%Y%m%dt%H%M%S") + f"{began.microsecond // 1000:03d}"

    def _connected(self, down_since: int | None, stop: Event, backoff: Backoff) -> "CameraSession | None":
        """A session, or None after the wait that follows a failure."""
        try:
            return self._session(down_since)
        except CameraDown as error:
            self._wait(stop, backoff, error.state, str(error).removeprefix(f"{self.address.shown} "))
        except BadSource as error:  # it boots: announces sound first, or a picture that is none
            self._wait(stop, backoff, CameraState.NO_PICTURE, self.address.hide(str(error)))
        except Exception as error:  # noqa: BLE001 - a camera is never final, whatever FFmpeg makes of its first bytes
            _log.debug("connecting", exc_info=True)
            self._wait(stop, backoff, CameraState.NO_PICTURE, self.address.hide(f"{type(error).__name__}: {error}"))
        return None

    def _session(self, down_since: int | None) -> "CameraSession":
        return CameraSession(self.address, self.now_us, down_since, self.condition)

    def _wait(self, stop: Event, backoff: Backoff, state: CameraState, why: str) -> None:
        wait_s = backoff.next_s()
        self.condition.enter(state, why, wait_s)
        stop.wait(wait_s)


class CameraSession:
    """One connection to a camera; the first frame has arrived.

    Event time is the wall clock at the first frame plus media time. A server that sends its last group of pictures at
    once lets media time run ahead of the clock, so a session begins no earlier than the one before it ended.

    Raises:
        CameraDown: no answer, refused, or no picture within the timeouts.
        BadSource: it sends no picture that can be decoded.
    """

    duration = None
    frames_expected = None
    start_offset = 0

    def __init__(
        self, address: SourceUri, now_us: Callable[[], int], down_since: int | None, condition: Condition
    ) -> None:
        self._container = connected(address)
        try:
            self._track = Track(self._container, address.shown, decode_threads=1)
            self._decoded = self._track.frames()
            first = next(self._decoded, None)
            if first is None:
                raise CameraDown(
                    CameraState.NO_PICTURE, f"{address.shown} sent no picture within {READ_S:g} s of connecting"
                )
        except BaseException:
            self._container.close()
            raise
        self._first = first
        self._ahead: Ahead | None = None
        self._condition = condition
        self._item_at = time.monotonic()
        self.notes = self._track.notes
        self.began_at = now_us() if down_since is None else max(now_us(), down_since + STEP_US)
        self.down_since = down_since
        self.size_wh = session_size(first, ())
        self.fps = self._track.claims.fps
        self.until_us = self.began_at

    @property
    def ending(self) -> CameraState:
        """How the camera is when the session has ended: it fell silent, or went away."""
        return CameraState.STALLED if time.monotonic() - self._item_at >= STALL_S else CameraState.DOWN

    def items(self, stop: Event) -> Iterator[Item | None]:
        """Frames as they arrive; one that finds `WAITING_FRAMES` others is dropped, which leaves a hole."""
        items = items_of(self._track, self._first, self._decoded, self.size_wh)
        self._ahead = Ahead(items, self._hang_up, WAITING_FRAMES, keep_all=False)
        for item in self._ahead.until(stop):
            self._note(item)
            yield item

    def _note(self, item: Item | None) -> None:
        """Keep how far the session has come, and whether it stalls."""
        now = time.monotonic()
        if item is None:
            if now - self._item_at >= STALL_S:
                self._condition.enter(CameraState.STALLED, f"no frame for {STALL_S:g} s")
            return
        self._item_at = now
        if self._condition.now is not CameraState.LIVE:
            self._condition.enter(CameraState.LIVE)
        end = item.end if isinstance(item, Hole) else item.media_time
        self.until_us = max(self.until_us, self.began_at + end)

    def close(self) -> None:
        """Hang up; a thread that still reads does so when it ends."""
        if self._ahead is None:
            self._hang_up()
        else:
            self._ahead.close()

    def _hang_up(self) -> None:
        self._decoded.close()
        self._container.close()


def connected(address: SourceUri) -> InputContainer:
    """The opened stream of a camera.

    Raises:
        CameraDown: with the reason in our words: FFmpeg's own hold the whole address, password included.
    """
    started = time.monotonic()
    options = fences.SECURE_CAMERA_OPTIONS if address.url.lower().startswith("rtsps") else fences.CAMERA_OPTIONS
    try:
        return av.open(
            address.url,
            options={**options, "rtsp_transport": address.transport},
            stream_options=fences.stream_options(),
            metadata_errors="ignore",
            timeout=(OPEN_S, READ_S),
        )
    except Exception as error:  # noqa: BLE001 - every way of failing to connect is the same answer
        # FFmpeg reports its own interruption as one of several errors.
        late = time.monotonic() - started >= OPEN_S
        state, reason = (CameraState.DOWN, f"does not answer within {OPEN_S:g} s") if late else _reason(error)
    # Raised outside the handler, so that the text with the password is not even its context.
    raise CameraDown(state, f"{address.shown} {reason}; wanted a camera that sends H.264 or HEVC over RTSP")


def _reason(error: Exception) -> tuple[CameraState, str]:
    reasons: tuple[tuple[type[Exception], CameraState, str], ...] = (
        (av.error.HTTPUnauthorizedError, CameraState.WRONG_PASSWORD, "refuses the user or the password"),
        (av.error.HTTPForbiddenError, CameraState.REFUSED, "forbids access"),
        (av.error.HTTPNotFoundError, CameraState.REFUSED, "knows no stream of this path"),
        (av.error.ConnectionRefusedError, CameraState.DOWN, "refuses the connection"),
        (av.error.InvalidDataError, CameraState.NO_PICTURE, "answers with something that is not RTSP"),
    )
    return next(
        ((state, text) for kind, state, text in reasons if isinstance(error, kind)),
        (CameraState.DOWN, f"cannot be reached ({type(error).__name__})"),
    )
