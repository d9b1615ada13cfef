"""One of our partitions, as the thread that polls knows it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Partition:
    """Where it stands, and what keeps it from flowing."""

    number: int
    is_begun: bool = False  # the worker has said from where
    position: int = 0  # offset of the record expected next
    end: int = 0  # of the log, as last seen
    is_full: bool = False
    parked: str = ""  # why; empty: it is not
    alarmed_at: float = 0.0
    strayed: bool = False  # the log does not hold `position`
    settle_at: float = 0.0
    settle_looks: int = 0  # the topic's identity must have been looked at more often than this
    behind_at: int = -1  # position at which the watch first found it behind
    behind_since: float = 0.0

    @property
    def flows(self) -> bool:
        """Return whether records of the partition are wanted now."""
        return self.is_begun and not (self.is_full or self.parked or self.strayed)

    def is_stuck(self, end: int | None, now: float, patience_s: float) -> bool:
        """Return whether it has been behind the end of the log for so long without moving, although records are wanted.

        Args:
            end: of the log; None: no broker has said.
            now, patience_s: seconds of a clock that never goes back.
        """
        if end is not None:
            self.end = end
        if end is None or not self.flows or end <= self.position:
            self.behind_at = -1
        elif self.behind_at != self.position:
            self.behind_at, self.behind_since = self.position, now
        return self.behind_at >= 0 and now - self.behind_since >= patience_s
