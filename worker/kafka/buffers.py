"""What was fetched and not handed over yet: bounded, per partition, each in its turn."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from contract.records import Delivery, Unreadable
from worker.log import Assigned, Revoked

NO_BYTES = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


@dataclass(slots=True)
class Chunk:
    """Deliveries of one partition, handed over together."""

    deliveries: Sequence[Delivery]
    size: int  # bytes of their values


@dataclass(slots=True)
class Missing:
    """Offsets [begin, end) that hold no record; one `Unreadable` each, made when its turn comes."""

    log: str
    begin: int
    end: int
    reason: str  # begins with EXPIRED or NO_RECORD

    def pop(self, partition: int, count: int) -> Chunk:
        """The deliveries of the first `count` offsets, which are then no longer in here."""
        end = min(self.begin + count, self.end)
        deliveries = [
            Delivery(
                self.log,
                partition,
                offset,
                Unreadable(reason=self.reason, key="", sha256=NO_BYTES, size=0),
            )
            for offset in range(self.begin, end)
        ]
        self.begin = end
        return Chunk(deliveries, 0)


@dataclass(slots=True)
class _Queue:
    waiting: deque[Chunk | Missing] = field(default_factory=deque)
    records: int = 0
    size: int = 0
    is_open: bool = False  # closed: what is fetched belongs to a place that the worker has left


@dataclass(frozen=True, slots=True)
class Run:
    """What is handed over next: deliveries of one partition, or a single event of one."""

    partition: int
    items: Sequence[Delivery | Assigned | Revoked]


Level: TypeAlias = tuple[int, int]
"""Records and bytes."""


class Buffers:
    """A queue per partition between the thread that polls and the one that works.

    Assignment events are delivered before buffered records. That breaks no order: `revoke` empties the queue, and a
    new assignment gets nothing before `reopen`.
    """

    def __init__(self, run_records: int) -> None:
        self._run_records = run_records
        self._queues: dict[int, _Queue] = {}
        self._turns: deque[int] = deque()  # partitions that hold something, each once
        self._events: deque[Assigned | Revoked] = deque()
        self._failure: Exception | None = None
        self._changed = threading.Condition(threading.Lock())

    def assign(self, event: Assigned) -> None:
        """The partition is ours, its queue empty and closed."""
        with self._changed:
            self._forget(event.partition)
            self._queues[event.partition] = _Queue()
            self._notify(event)

    def revoke(self, event: Revoked) -> None:
        """The partition is no longer ours; what it holds is dropped."""
        with self._changed:
            self._forget(event.partition)
            self._queues.pop(event.partition, None)
            self._notify(event)

    def close(self, partition: int) -> None:
        """Drop what the partition holds, and what comes until `reopen`."""
        with self._changed:
            self._forget(partition)
            if partition in self._queues:
                self._queues[partition] = _Queue()

    def reopen(self, partition: int) -> None:
        """Drop what the partition holds; what comes from now on counts."""
        with self._changed:
            self._forget(partition)
            if partition in self._queues:
                self._queues[partition] = _Queue(is_open=True)

    def append(self, partition: int, chunks: Sequence[Chunk | Missing]) -> None:
        """Hold chunks until their turn; drop them where the partition is closed or not ours."""
        with self._changed:
            queue = self._queues.get(partition)
            if queue is None or not queue.is_open or not chunks:
                return
            if not queue.waiting:
                self._turns.append(partition)
            queue.waiting.extend(chunks)
            for chunk in chunks:
                if isinstance(chunk, Chunk):
                    queue.records += len(chunk.deliveries)
                    queue.size += chunk.size
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Let the worker see this error instead of anything that still waits; the first one counts."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify()

    def next_run(self, wait_s: float) -> Run | None:
        """Return what comes next; None if nothing came for `wait_s`.

        Raises:
            whatever error `fail` was given.
        """
        with self._changed:
            if not (self._events or self._turns or self._failure):
                self._changed.wait(wait_s)
            if self._failure is not None:
                raise self._failure
            if self._events:
                event = self._events.popleft()
                return Run(event.partition, (event,))
            return self._next_chunk() if self._turns else None

    def levels(self) -> dict[int, Level]:
        """How much each of our partitions holds."""
        with self._changed:
            return {partition: (queue.records, queue.size) for partition, queue in self._queues.items()}

    def _next_chunk(self) -> Run:
        partition = self._turns.popleft()
        queue = self._queues[partition]
        chunk = queue.waiting[0]
        if isinstance(chunk, Missing):
            run = chunk.pop(partition, self._run_records)
            is_done = chunk.begin >= chunk.end
        else:
            run, is_done = chunk, True
            queue.records -= len(chunk.deliveries)
            queue.size -= chunk.size
        if is_done:
            queue.waiting.popleft()
        if queue.waiting:
            self._turns.append(partition)
        return Run(partition, run.deliveries)

    def _notify(self, event: Assigned | Revoked) -> None:
        self._events.append(event)
        self._changed.notify()

    def _forget(self, partition: int) -> None:
        queue = self._queues.get(partition)
        if queue is not None and queue.waiting:
            self._turns.remove(partition)


def in_chunks(deliveries: Sequence[Delivery], sizes: Sequence[int], run_records: int) -> Iterator[Chunk]:
    """The same deliveries in runs, with the bytes of each run."""
    for begin in range(0, len(deliveries), run_records):
        end = begin + run_records
        yield Chunk(deliveries[begin:end], sum(sizes[begin:end]))
