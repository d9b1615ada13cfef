"""Ends the process when an engine does not come back; its supervisor starts another."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HUNG = 75  # EX_TEMPFAIL: another process may do better
TICKS = 20  # looks per timeout

_log = logging.getLogger(__name__)


class Watchdog:
    """Ends the process when a watched block runs longer than `timeout_s`.

    Time in which the process itself was stopped does not count: nobody was working, nothing hung.
    """

    def __init__(
        self,
        timeout_s: float,
        end: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool] | None = None,  # s -> whether to end
    ) -> None:
        self._timeout_s = timeout_s
        self._end = end or end_process
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._ticks = 0  # odd: a block is running
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Expect the block to end in time."""
        self._ticks += 1
        try:
            yield
        finally:
            self._ticks += 1

    def _watch(self) -> None:
        tick_s = self._timeout_s / TICKS
        ticks, spent_s, looked_at = self._ticks, 0.0, self._clock()
        while not self._sleep(tick_s):
            now = self._clock()
            spent_s = spent_s + min(now - looked_at, 2 * tick_s) if ticks == self._ticks and ticks % 2 else 0.0
            ticks, looked_at = self._ticks, now
            if spent_s >= self._timeout_s:
                self._end(f"the engine has not answered for {spent_s:.0f} s, allowed are {self._timeout_s:g}")
                return


def end_process(reason: str, code: int = HUNG) -> None:
    """End the process at once: a thread that hangs in a driver cannot be stopped."""
    _log.critical("ending the process: %s", reason)
    for handler in logging.getLogger().handlers:
        handler.flush()
    with contextlib.suppress(OSError, ValueError):  # a closed pipe
        sys.stderr.flush()
    os._exit(code)
