"""Repeats calls to a store or a log that does not answer for now."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from contract.errors import LogUnavailable, StoreUnavailable

FIRST_S, LONGEST_S = 0.05, 1.0
SAY_EVERY_S = 10.0
SLOW_S = 1.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The worker was stopped while it waited; internal, what was in hand comes again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is waited for."""

    since: float  # monotonic s
    text: str


class Retry:
    """Repeats a call, the very same, until it is answered: a commit is safe to repeat, as the store knows its offset.

    `trouble` may be asked from another thread.
    """

    def __init__(
        self,
        stop: threading.Event,
        beat: Callable[[], None] | None = None,  # called with every repetition
        wait: Callable[[float], bool] | None = None,  # s -> whether to stop
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trouble: Trouble | None = None
        self._asked_at: float | None = None  # when the call in flight began
        self._beat = beat
        self._wait = wait or stop.wait
        self._clock = clock
        self._said_at = 0.0

    def __call__(self, call: Callable[[], T]) -> T:
        """The answer of `call`.

        Raises:
            Stopped: there was none before the worker was asked to stop.
        """
        delay_s = FIRST_S
        while True:
            self._asked_at = self._clock()
            try:
                answer = call()
            except (StoreUnavailable, LogUnavailable) as error:
                self._note(error)
            else:
                if self._trouble is not None:
                    _log.warning("back after %.1f s: %s", self._clock() - self._trouble.since, self._trouble.text)
                    self._trouble = None
                return answer
            finally:
                self._asked_at = None
            if self._wait(delay_s):
                raise Stopped
            delay_s = min(2 * delay_s, LONGEST_S)

    def trouble(self) -> Trouble | None:
        """What is waited for: a call that failed, or one that is in flight for long; None: all is well."""
        trouble, asked_at = self._trouble, self._asked_at
        if trouble is None and asked_at is not None and self._clock() - asked_at > SLOW_S:
            return Trouble(asked_at, f"no answer for {self._clock() - asked_at:.1f} s")
        return trouble

    def _note(self, error: StoreUnavailable | LogUnavailable) -> None:
        now = self._clock()
        if self._trouble is None or now - self._said_at >= SAY_EVERY_S:
            _log.warning("waiting: %s", error)
            self._said_at = now
        self._trouble = Trouble(self._trouble.since if self._trouble else now, str(error))
        if self._beat is not None:
            self._beat()
