"""How engines that answer within a call keep the seam: on a thread of their own, or at once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from models.engines import Crops, Outputs


@dataclass(frozen=True, slots=True)
class Put:
    """A ticket for a batch on the thread."""

    future: "Future[Outputs]"

    def collect(self) -> Outputs:
        """Wait for the batch and return its outputs; raise what the engine raised."""
        return self.future.result()


@dataclass(frozen=True, slots=True)
class Answered:
    """A ticket that holds its answer."""

    outputs: Outputs

    def collect(self) -> Outputs:
        """Return the outputs."""
        return self.outputs


class Immediate:
    """The seam of an engine for one that answers within the call and keeps nothing: functions of a crop's bytes."""

    def __call__(self, crops: Crops) -> Outputs:
        """Return the outputs of the crops."""
        raise NotImplementedError

    def submit(self, crops: Crops) -> Answered:
        """Read the crops now; the ticket holds the answer."""
        return Answered(self(crops))

    def warm_up(self, most: int) -> None:
        """Do nothing: no batch is slower than another."""

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


class Deferred:
    """Runs batches in the order of `submit` on one thread, which begins with the first of them.

    Args:
        run: the engine's call; it lets go of the interpreter lock while it computes.
        name: of the net, for the thread.
    """

    def __init__(self, run: Callable[[Crops], Outputs], name: str) -> None:
        self._run, self._name = run, name
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, crops: Crops) -> Put:
        """Begin a batch of crops (N, H, W, 3) and return its ticket."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"engine {self._name}")
            return Put(self._pool.submit(self._run, crops))

    def close(self) -> None:
        """Finish what was submitted and end the thread; a later batch begins a new one."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
