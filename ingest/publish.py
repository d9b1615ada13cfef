"""Records onto the bus."""

from collections.abc import Iterable
from typing import Protocol

from contract.records import Record


class Publisher(Protocol):
    """Where records go: `runtime.bus.InProcessBus`, or Kafka. Left out: opening, closing, encoding."""

    def publish(self, record: Record) -> None:
        """Append the record to its source's log; waits while there is no room."""


def publish_all(records: Iterable[Record], publisher: Publisher) -> int:
    """How many records were published, in order: `publish_all(records_of(source, …), bus)`."""
    count = 0
    for record in records:
        publisher.publish(record)
        count += 1
    return count
