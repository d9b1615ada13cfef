"""Where deliveries come from: the seam between the worker and a log."""

from collections.abc import Iterator
from typing import Protocol

from contract.records import Delivery


class Log(Protocol):
    """A partitioned log that hands its records over in order; `contract.bus.InProcessBus` is the embedded one.

    Left out on purpose: acknowledging (the offset lives in the store) and going back (a log that can seek does so
    when the worker raises `RecordsMissing`).
    """

    def deliveries(self, wait_s: float) -> Iterator[Delivery | None]:
        """Deliveries in order per partition; None whenever none came for `wait_s`; ends with the log."""
        ...

    def abandon(self) -> None:
        """The worker has gone: who publishes must not wait for it."""
        ...
