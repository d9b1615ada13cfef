"""How a net runs: the one seam between nets and processors."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.model_card import ModelCard


class Engine(Protocol):
    """A net made runnable on this machine's processor.

    Any batch will do, also an empty one; the answer for a crop does not depend on its neighbours. An engine may be
    called from several threads. Left out on purpose: resizing and softmax (the caller's, from the card), queues and
    threads (the worker's).
    """

    card: ModelCard

    def __call__(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Named outputs, first axis N, of crops (N, H, W, 3) u8 RGB with H = W = `card.input_edge`.

        Raises:
            BadRequest: the crops have another shape or type.
            EngineFailed: the processor gave up; nothing may be concluded, and the process should end.
        """
        ...
