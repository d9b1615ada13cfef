"""How a net runs: the one seam between nets and processors."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.model_card import ModelCard

Crops = NDArray[np.uint8]
"""(N, H, W, 3) RGB with H = W = `card.input_edge`."""

Outputs = dict[str, NDArray[np.float32]]
"""Named outputs, (N, width) each."""


class Ticket(Protocol):
    """A batch that an engine was given and has not answered yet."""

    def collect(self) -> Outputs:
        """Wait for the batch and return its outputs; a second call returns the same.

        Raises:
            EngineFailed: the processor gave up; nothing may be concluded, and the process should end.
        """
        ...


class Engine(Protocol):
    """A net made runnable on this machine's processor.

    Any batch will do, also an empty one; the answer for a crop does not depend on its neighbours. An engine may be
    called from several threads. Left out on purpose: resizing and softmax (the caller's, from the card), queues and
    the number of batches in flight (the worker's).
    """

    card: ModelCard

    def __call__(self, crops: Crops) -> Outputs:
        """Return the outputs of the crops: submit and collect in one.

        Raises:
            BadRequest: the crops have another shape or type.
            EngineFailed: see `Ticket.collect`.
        """
        ...

    def submit(self, crops: Crops) -> Ticket:
        """Begin a batch and return at once; the crops must stay as they are until it is collected.

        Tickets may be collected in any order. Two batches in flight keep a processor busy; more only wait.

        Raises:
            BadRequest: the crops have another shape or type.
            EngineFailed: see `Ticket.collect`.
        """
        ...

    def warm_up(self, most: int) -> None:
        """Run batches of up to `most` crops, so that no later batch pays for buffers, kernels or graphs."""
        ...

    def close(self) -> None:
        """Finish what was submitted, then give memory and threads back; tickets stay collectable."""
        ...


def read_all(engines: Sequence[Engine], batches: Sequence[Crops]) -> list[Outputs]:
    """Return each engine's outputs of its batch; all engines work at the same time.

    Raises:
        BadRequest, EngineFailed: of the first engine that raises one.
    """
    tickets = [engine.submit(crops) for engine, crops in zip(engines, batches, strict=True)]
    return [ticket.collect() for ticket in tickets]
