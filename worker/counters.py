"""What the worker has done, and where its time went."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the start; written by the worker's thread, read by anyone."""

    records: int = 0  # handed to the store and applied
    crops: int = 0
    batches: int = 0
    commits: int = 0
    retaken: int = 0  # times a partition had moved on under us
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("wait", "read", "picture", "commit"), 0.0))

    @contextmanager
    def timed(self, stage: str, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
        """Add the wall time of the block to a stage."""
        begun = clock()
        try:
            yield
        finally:
            self.seconds[stage] += clock() - begun
