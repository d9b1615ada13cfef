"""The wall clock that no correction moves."""

import time
from collections.abc import Callable


class AnchoredClock:
    """µs since the epoch: the wall clock is read once, the monotonic clock carries it on.

    A step of the wall clock (NTP, an operator, a suspended host's catch-up) therefore makes nothing old at once; a
    clock that was wrong at the start stays wrong until the next start.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._anchor_ns = wall_ns() - monotonic_ns()

    def __call__(self) -> int:
        """Now, in µs since the epoch."""
        return (self._anchor_ns + self._monotonic_ns()) // 1000
