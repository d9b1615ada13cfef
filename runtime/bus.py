"""The in-process bus: the embedded twin of the Kafka topic of faces. Bounded, ordered per source, with offsets."""

import contextlib
import threading
import uuid
from collections import deque
from collections.abc import Iterator

from contract.records import Delivery, Record
from contract.topics import partition_of


class InProcessBus:
    """A bounded queue that numbers records per partition.

    `publish` waits while the bus is full, so a slow worker slows a file down and memory stays flat. Nobody holds the
    lock in that wait: who comes meanwhile waits for room only, not for another publisher.
    Left out: durability. A record that was not committed dies with the process; the same file run again makes it again.
    """

    def __init__(self, capacity: int = 64, partitions: int = 4) -> None:
        self.log = uuid.uuid4().hex
        self._partitions = partitions
        self._capacity = capacity
        self._next_offset = [0] * partitions
        self._waiting: deque[Delivery] = deque()
        self._changed = threading.Condition()  # its lock guards everything below and the queue
        self._is_closed = False
        self._is_abandoned = False

    def publish(self, record: Record) -> None:
        """Append the record to its source's partition; waits while the bus is full.

        Raises:
            BusClosed: the bus was closed, or its reader has gone.
        """
        partition = partition_of(record.source, self._partitions)
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._capacity or self._is_closed or self._is_abandoned)
            if self._is_abandoned:
                raise BusClosed("the worker has stopped; nothing reads the bus any more")
            if self._is_closed:
                raise BusClosed("the bus is closed")
            # Numbered when it goes in, under the same lock: offsets and order agree.
            self._waiting.append(Delivery(self.log, partition, self._next_offset[partition], record))
            self._next_offset[partition] += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more records: `deliveries` ends after those already published."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def rewind(self, log: str, partition: int, offset: int) -> bool:
        """Return False: what was handed over is kept nowhere else."""
        return False

    def abandon(self) -> None:
        """Note that the reader has gone: publishers stop waiting and raise."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()

    def deliveries(self, wait_s: float) -> Iterator[Delivery | None]:
        """Deliveries in order; None whenever none came for `wait_s`; ends when the bus is closed and empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed, wait_s)
                delivery = None
                with contextlib.suppress(IndexError):
                    delivery = self._waiting.popleft()
                    self._changed.notify_all()
                if delivery is None and self._is_closed:
                    return
            yield delivery


class BusClosed(Exception):
    """Nobody reads what would be published; internal, never shown to a user."""
