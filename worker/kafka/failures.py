"""How often a consumer had to be replaced for the same error."""

import time
from collections.abc import Callable

from contract.errors import BadLog

BAD_SUMS = 3  # new consumers for the same corrupt batch; it may have been the wire
GIVE_UPS = 10  # new consumers for any other error with the same text
FORGET_S = 120.0  # after so long without a failure none counts any more


class Failures:
    """Counts errors by their text, until there are too many of one."""

    def __init__(self, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic = topic
        self._clock = clock
        self._counts: dict[str, int] = {}  # new consumers, by the error of the one before
        self._failed_at = clock()

    def count(self, error: Exception, limit: int) -> None:
        """Note that a new consumer is needed; what other partitions deliver meanwhile proves nothing about this one.

        Raises:
            BadLog: the same error has asked for more than `limit`.
        """
        now, text = self._clock(), f"{type(error).__name__}: {error}"
        if now - self._failed_at > FORGET_S:
            self._counts.clear()
        self._failed_at = now
        self._counts[text] = self._counts.get(text, 0) + 1
        if self._counts[text] > limit:
            raise BadLog(
                f"{self._topic}: {text}, {self._counts[text]} times; a batch is damaged on the broker, or"
                " this client cannot read it"
            )
