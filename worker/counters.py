"""What the worker has done, and where its time went."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("wait", "decode", "read", "picture", "commit")
BOUNDS_S = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the histograms


def _unobserved(stage: str, spent_s: float) -> None:
    """Do nothing."""


@dataclass(slots=True)
class Counters:
    """Totals since the start; written by the worker's thread, read by anyone."""

    records: int = 0  # handed to the store and applied
    crops: int = 0  # shown to the nets
    points: int = 0  # applied
    batches: int = 0
    commits: int = 0
    retaken: int = 0  # times a partition had moved on under us
    repeats: int = 0  # deliveries that are applied already, or come again
    holes: int = 0  # times the log left out what the store has not seen
    rejected: int = 0
    shed: int = 0
    expired: int = 0  # met where retention was quicker; each is among the rejected once it is applied
    looped_at: float = field(default_factory=time.monotonic)  # s: when the worker last came round
    outcomes: dict[str, int] = field(default_factory=dict)  # of commits
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    on_timed: Callable[[str, float], None] = _unobserved  # called after every block, with its stage and its seconds

    def beat(self) -> None:
        """The worker has come round, or waits knowingly."""
        self.looped_at = time.monotonic()

    @contextmanager
    def timed(self, stage: str, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
        """Add the wall time of the block to a stage."""
        begun = clock()
        try:
            yield
        finally:
            spent = clock() - begun
            self.seconds[stage] += spent
            self.on_timed(stage, spent)
