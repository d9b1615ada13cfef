"""Where deliveries come from: the seam between the worker and a log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from contract.records import Delivery

EXPIRED = "expired"
"""How the reason of an `Unreadable` begins that stands for a record which retention took away before we came."""

NO_RECORD = "offset without a record"
"""How the reason of an `Unreadable` begins that stands for an offset without a record: a transaction's marker."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """A partition is ours from now on. It waits until `Log.rewind` says where to begin."""

    log: str
    partition: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """A partition is no longer ours; what was handed over of it may still be committed, if nobody was quicker."""

    log: str
    partition: int


class Log(Protocol):
    """A partitioned log that hands its records over in order.

    `runtime.bus.InProcessBus` is the embedded one: it assigns nothing, begins at the start, and cannot go back.
    Left out on purpose: acknowledging, as the offset lives in the store.
    """

    def deliveries(self, wait_s: float) -> Iterator[Delivery | Assigned | Revoked | None]:
        """Deliveries in order per partition, no partition waiting for another; None whenever none came for `wait_s`;
        ends with the log."""
        ...

    def rewind(self, log: str, partition: int, offset: int) -> bool:
        """Hand the partition over from this offset on; False: this log cannot, go on with what comes.

        May take effect later: until then deliveries of other offsets may come, which the worker passes over.
        """
        ...

    def abandon(self) -> None:
        """The worker has gone: who publishes must not wait for it."""
        ...
