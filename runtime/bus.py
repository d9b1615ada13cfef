"""The in-process bus: the embedded twin of the Kafka topic of faces. Bounded, ordered per source, with offsets."""

import contextlib
import queue
import threading
import uuid
from collections.abc import Iterator

from contract.records import Delivery, Record
from contract.topics import partition_of


class InProcessBus:
    """A bounded queue that numbers records per partition.

    `publish` waits while the bus is full, so a slow worker slows a file down and memory stays flat.
    Left out: durability. A record that was not committed dies with the process; the same file run again makes it again.
    """

    def __init__(self, capacity: int = 64, partitions: int = 4) -> None:
        self.log = uuid.uuid4().hex
        self._partitions = partitions
        self._next_offset = [0] * partitions
        self._queue: queue.Queue[Delivery | None] = queue.Queue(capacity)
        self._numbering = threading.Lock()
        self._broken = threading.Event()

    def publish(self, record: Record) -> None:
        """Append the record to its source's partition; waits while the bus is full.

        Raises:
            BusClosed: the reader has gone.
        """
        partition = partition_of(record.source, self._partitions)
        with self._numbering:
            delivery = Delivery(self.log, partition, self._next_offset[partition], record)
            self._next_offset[partition] += 1
            self._put(delivery)

    def close(self) -> None:
        """No more records will come: `deliveries` ends after those already published; waits while the bus is full."""
        with contextlib.suppress(BusClosed):  # nobody is left to be told
            self._put(None)

    def rewind(self, log: str, partition: int, offset: int) -> bool:
        """False: what was handed over is nowhere else."""
        return False

    def abandon(self) -> None:
        """The reader has gone: publishers stop waiting and raise."""
        self._broken.set()

    def deliveries(self, wait_s: float) -> Iterator[Delivery | None]:
        """Deliveries in order; None whenever none came for `wait_s`; ends when the bus is closed and empty."""
        while True:
            try:
                delivery = self._queue.get(timeout=wait_s)
            except queue.Empty:
                yield None
                continue
            if delivery is None:
                return
            yield delivery

    def _put(self, delivery: Delivery | None) -> None:
        while not self._broken.is_set():
            try:
                return self._queue.put(delivery, timeout=0.2)
            except queue.Full:
                continue
        raise BusClosed("the worker has stopped; nothing reads the bus any more")


class BusClosed(Exception):
    """Nobody reads the bus any more; internal, never shown to a user."""
