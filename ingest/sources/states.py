"""How a camera is, reported when that begins."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

_log = logging.getLogger(__name__)


class CameraState(StrEnum):
    """What a camera does now."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"  # it was live and sends nothing
    DOWN = "down"  # nobody answers at its address
    REFUSED = "refused"  # it answers, and will not show this stream
    WRONG_PASSWORD = "wrong password"
    NO_PICTURE = "no picture"  # it answers, without a picture that can be decoded


@dataclass(slots=True)
class Condition:
    """The state of one camera; written by its thread, read by anybody."""

    name: str
    now: CameraState = CameraState.CONNECTING
    why: str = ""
    since: float = field(default_factory=time.monotonic)
    _reported: tuple[CameraState, str] = (CameraState.LIVE, "")

    def enter(self, state: CameraState, why: str = "", wait_s: float | None = None) -> None:
        """Note a state, and log it where it is another one than was last reported; attempts in between are not."""
        if state is not self.now:
            self.since = time.monotonic()
        self.now, self.why = state, why
        if state is CameraState.CONNECTING or (state, why) == self._reported:
            return
        self._reported = (state, why)
        again = "" if wait_s is None else f"; trying again in {wait_s:.0f} s, then less often, until it is back"
        _log.warning("%s: %s%s%s", self.name, state, f" ({why})" if why else "", again)


@dataclass(slots=True)
class Backoff:
    """Waits of 1, 2, 4 … 30 s, a fifth more or less so that many cameras do not come at once."""

    shortest_s: float
    longest_s: float
    random: Callable[[], float] = random.random
    _next_s: float = 0.0

    def next_s(self) -> float:
        """Return how long to wait now; the next wait is twice as long."""
        base_s = self._next_s or self.shortest_s
        self._next_s = min(2 * base_s, self.longest_s)
        return base_s * (0.8 + 0.4 * self.random())

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._next_s = 0.0
