"""Deliveries in handy portions: full, or late."""

import math
import time
from collections.abc import Callable, Iterable, Iterator

from contract.records import Delivery

Batch = tuple[Delivery, ...]


def in_batches(
    deliveries: Iterable[Delivery | None], size: int, wait_s: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Batch]:
    """Deliveries of all partitions together, in order of arrival.

    A batch is handed on when it holds `size` deliveries, of whatever kind, or when its first one is `wait_s` old; that
    is looked at with every delivery and every None (nothing came for a while). The rest comes when the log ends.
    """
    batch: list[Delivery] = []
    due = math.inf
    for delivery in deliveries:
        if delivery is not None:
            due = due if batch else clock() + wait_s
            batch.append(delivery)
        if len(batch) >= size or (batch and clock() >= due):
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)
