"""Where timelines are kept: the promise that every store gives the worker.

All offsets are positions, as Kafka counts them: `next_offset` is the offset of the first record not yet applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from contract.readings import Entry, Point, ReadingSchema, SkippedReason

RESCORED_AT_ONCE = 128  # points of one call; more would hold up the workers' commits


class Outcome(StrEnum):
    """What became of a commit."""

    APPLIED = "applied"
    STALE = "stale"  # the stored position is another one: repeated, overtaken or rolled back
    FENCED = "fenced"  # the epoch is not the stored one: taken since, never, or forgotten in a failover
    REFUSED = "refused"  # the batch itself is wrong; nothing was written, the log says why


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition taken over: commits under older epochs are fenced from now on."""

    epoch: int
    next_offset: int  # the first record to apply
    takes: int = 1  # how often it was taken at this offset, one after the other; many: workers may be dying there


class Store(Protocol):
    """Timelines, gaps and progress, together with the position in the log up to which they are complete.

    What is stored of a partition is always exactly the fold of its log before `next_offset`, whoever commits, in any
    order, however often. Left out on purpose: reading timelines (the query layer's), retention.
    """

    def take(self, log: str, partition: int) -> Lease:
        """The partition under a new epoch, with the position to go on from (0 in a log never seen)."""
        ...

    def commit(
        self,
        log: str,
        partition: int,
        *,
        epoch: int,
        previous_offset: int,
        next_offset: int,
        entries: Sequence[Entry],
        schema: ReadingSchema,
    ) -> Outcome:
        """Apply the entries of the records `previous_offset` .. `next_offset - 1`, one each, in order: all or nothing.

        Entries at or below their session's high-water mark and points of erased people change nothing.
        """
        ...

    def begin_alone(self, partition: int, offset: int) -> int:
        """Note that this record is about to be read alone; how often that was noted before, and came to no commit.

        A store of one process, which no worker outlives, notes nothing: 0.
        """
        ...

    def skipped(self, log: str, partition: int) -> dict[SkippedReason, int]:
        """Return how many deliveries of a partition were skipped, by reason."""
        ...

    def high_water(self, source: str, session: str) -> int | None:
        """The highest sequence applied of a session; None: nothing yet."""
        ...

    def interruptions(self, source: str, session: str) -> tuple[int, ...]:
        """The sequences of the interruptions that took numbers, as version 1.0 wrote them; a run leaves these out."""
        ...

    def is_closed(self, source: str, session: str) -> bool:
        """Whether the session was looked at to its end."""
        ...

    def keeps_pictures(self, source: str, session: str) -> bool:
        """Return whether pictures of people may be kept, by the session's opening."""
        ...

    def close(self) -> None:
        """Let go of the store; what was applied stays."""
        ...


@dataclass(frozen=True, slots=True)
class Rescoring:
    """A partition taken over to be read again: rescorings of it under older epochs are fenced from now on."""

    epoch: int
    next_offset: int  # the first record to read again
    until: int  # what the workers had applied when it was taken; 0: nothing
    layer: str  # where its points lie, a name of `contract.layers`


class RescoringStore(Protocol):
    """A store whose readings can be made again by other nets, beside workers that go on.

    A rescoring adds readings of frames that the workers have stored, in a layer of its own; whatever else the store
    holds stays as it is: marks, people, gaps, progress, pictures, positions. The rule that makes it exactly once: a
    point is added where the layer has fewer of its person and frame than the workers have stored. So nothing that was
    rejected, shed, erased or has expired comes in, and nothing comes twice, whatever is repeated.
    """

    def take_rescoring(self, log: str, partition: int, schema: ReadingSchema) -> Rescoring:
        """The partition for this schema under a new epoch; its workers are left alone.

        Raises:
            LogReplaced: the store follows another log there.
        """
        ...

    def rescore(
        self,
        log: str,
        partition: int,
        *,
        taken: Rescoring,
        previous_offset: int,
        next_offset: int,
        points: Sequence[Point],
        schema: ReadingSchema,
    ) -> Outcome:
        """Apply the readings of the records `previous_offset` .. `next_offset - 1`, pictures aside: all or nothing.

        Also STALE if the workers' offset is behind `next_offset`, as after a rollback.
        """
        ...
