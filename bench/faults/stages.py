"""Where a worker kills or freezes itself: before, while or after the store applies its commit."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from bench.faults.control import Control, Told

STAGES = ("before", "during", "after")
COMMIT_S = 0.0006  # about as long as a call of the store takes; «during» is somewhere in it

Commit = Callable[..., Any]


class Stages:
    """A commit that does once, at the n-th call since it was told, what the control file says."""

    def __init__(self, commit: Commit, control: Control) -> None:
        self._commit = commit
        self._control = control
        self._told: Told | None = None
        self._left = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The store's answer, if this process is still there to get it."""
        stage, number = self._due()
        if stage == "before":
            os.kill(os.getpid(), number)
        elif stage == "during":
            threading.Thread(target=_signal_soon, args=(number,), daemon=True).start()
        outcome = self._commit(*args, **kwargs)
        if stage == "after":
            os.kill(os.getpid(), number)
        return outcome

    def _due(self) -> tuple[str, int]:
        told = self._control.read()
        if told is not self._told:
            self._told, self._left = told, told.at_commit
        self._left -= 1
        return (told.stage, told.signal) if told.stage and self._left == 0 else ("", 0)


def _signal_soon(number: int) -> None:
    end = time.perf_counter() + COMMIT_S * (time.perf_counter_ns() % 1000) / 1000
    while time.perf_counter() < end:
        pass
    os.kill(os.getpid(), number)
