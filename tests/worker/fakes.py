"""A store and a log as plain as their promises, with faults on demand; time is a number."""

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from contract.errors import StoreUnavailable
from contract.readings import Entry, Point, ReadingSchema
from contract.records import Crop, Delivery, Record, Unreadable
from tests.worker.examples import SCHEMA
from worker.log import Assigned, Revoked
from worker.reading.reader import Values, Wants
from worker.store import Lease, Outcome
from worker.store.check import BadBatch, checked

LOG = "log-a"


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class MemoryStore:
    """What is applied, in order, by partition.

    `faults` meets the next commits: «down» (nothing happened), «lost» (applied, but nobody was told), «refused».
    """

    def __init__(self) -> None:
        self.leases: dict[int, Lease] = {}
        self.entries: dict[int, list[Entry]] = {}
        self.faults: deque[str] = deque()
        self.commits: list[tuple[int, int, Outcome]] = []  # partition, entries, outcome
        self._kept: tuple[dict[int, Lease], dict[int, list[Entry]]] = ({}, {})

    def take(self, log: str, partition: int) -> Lease:
        before = self.leases.get(partition, Lease(0, 0))
        self.leases[partition] = Lease(before.epoch + 1, before.next_offset)
        return self.leases[partition]

    def begin_alone(self, partition: int, offset: int) -> int:
        return 0

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
        fault = self.faults.popleft() if self.faults else ""
        if fault == "down":
            raise StoreUnavailable("the fake store is down")
        outcome = self._outcome(partition, epoch, previous_offset, next_offset, entries)
        outcome = Outcome.REFUSED if fault == "refused" else outcome
        self.commits.append((partition, len(entries), outcome))
        if outcome is Outcome.APPLIED:
            self.leases[partition] = Lease(self.leases[partition].epoch, next_offset)
            self.entries.setdefault(partition, []).extend(entries)
        if fault == "lost":
            raise StoreUnavailable("the fake store answered, and nobody heard it")
        return outcome

    def _outcome(
        self, partition: int, epoch: int, previous_offset: int, next_offset: int, entries: Sequence[Entry]
    ) -> Outcome:
        held = self.leases.get(partition)
        if held is None or epoch < held.epoch:
            return Outcome.FENCED
        if previous_offset != held.next_offset:
            return Outcome.STALE
        try:
            checked(entries, SCHEMA, previous_offset, next_offset)
        except BadBatch:
            return Outcome.REFUSED
        return Outcome.APPLIED

    def keep(self) -> None:
        """Note the state that a failover comes back to."""
        self._kept = copy.deepcopy((self.leases, self.entries))

    def fail_over(self) -> None:
        """Forget what happened since `keep`, epochs too."""
        self.leases, self.entries = copy.deepcopy(self._kept)

    def keeps_pictures(self, source: str, session: str) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the worker has no business with {name}")


class MemoryLog:
    """Partitions that can be handed over again, a few records of each in turn; ends when all is quiet for long enough.

    `clock` moves with every silence. `skipped` is left out once, as a client with a mistake would.
    """

    def __init__(self, records: dict[int, list[Record | Unreadable]], clock: Clock | None = None, run: int = 4) -> None:
        self.records = records
        self.clock = clock or Clock()
        self.run = run
        self.events: deque[Assigned | Revoked] = deque(Assigned(LOG, partition) for partition in records)
        self.positions: dict[int, int] = {}
        self.rewinds: list[tuple[int, int]] = []
        self.skipped: set[tuple[int, int]] = set()
        self.stale_at: dict[tuple[int, int], int] = {}
        self.abandoned = False
        self.quiet_s = 10.0

    def deliveries(self, wait_s: float) -> Iterator[Delivery | Assigned | Revoked | None]:
        quiet_until = self.clock() + self.quiet_s
        while self.clock() < quiet_until:
            while self.events:
                event = self.events.popleft()
                if isinstance(event, Revoked):
                    self.positions.pop(event.partition, None)
                yield event
            moved = False
            for partition in list(self.positions):
                for _ in range(self.run):
                    offset = self.positions.get(partition, len(self.records[partition]))
                    if offset >= len(self.records[partition]) or self.events:
                        break
                    self.positions[partition] = offset + 1
                    if (partition, offset) in self.skipped:
                        self.skipped.discard((partition, offset))
                        continue
                    moved = True
                    yield self.delivery(partition, offset)
            if moved:
                quiet_until = self.clock() + self.quiet_s
            else:
                self.clock.now += wait_s
                yield None

    def delivery(self, partition: int, offset: int) -> Delivery:
        record = self.records[partition][offset]
        return Delivery(LOG, partition, offset, record, self.stale_at.get((partition, offset)))

    def rewind(self, log: str, partition: int, offset: int) -> bool:
        self.rewinds.append((partition, offset))
        self.positions[partition] = offset
        return True

    def abandon(self) -> None:
        self.abandoned = True


class BytesReader:
    """Reads crops as they come: half of each kind; fails where a crop says so."""

    schema = SCHEMA
    wants: Wants = "bytes"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, crops: Sequence[Crop]) -> Values:
        self.batches.append(len(crops))
        if any(crop == b"poison" for crop in crops):
            raise RuntimeError("the kernel choked")
        values = np.full((len(crops), len(SCHEMA.channels)), 0.5, np.float32)
        values[[crop == b"not a number" for crop in crops]] = np.nan
        return values


def sequences(entries: Sequence[Entry]) -> list[tuple[str, int | None]]:
    """Kind and number of each entry, for short comparisons."""
    return [(type(entry).__name__, entry.sequence) for entry in entries]


def points(entries: Sequence[Entry]) -> list[int]:
    """The sequence of each point."""
    return [entry.sequence for entry in entries if isinstance(entry, Point)]
