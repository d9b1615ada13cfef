"""What every engine asks of its input."""

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from contract.model_card import ModelCard

ANY_EDGE = 32  # px, of trials where a card takes any size


def checked(crops: NDArray[np.uint8], card: ModelCard) -> NDArray[np.uint8]:
    """Return the crops, contiguous, when they are (N, edge, edge, 3) u8; a card with edge 0 takes any height and width.

    Raises:
        BadRequest: another type or shape; the message says which was wanted.
    """
    edge = card.input_edge
    fits = isinstance(crops, np.ndarray) and crops.dtype == np.uint8 and crops.ndim == 4 and crops.shape[3] == 3
    if not fits or (edge and crops.shape[1:3] != (edge, edge)):
        side = str(edge) if edge else "any"
        seen = f"{crops.shape} {crops.dtype}" if isinstance(crops, np.ndarray) else type(crops).__name__
        raise BadRequest(f"{card.name}: crops are {seen}, wanted (N, {side}, {side}, 3) uint8")
    return np.ascontiguousarray(crops)


def noise(edge: int, count: int) -> NDArray[np.uint8]:
    """(count, edge, edge, 3) u8 crops of noise, always the same; for comparing where no face is at hand."""
    return np.random.default_rng(0).integers(0, 256, (count, edge, edge, 3), dtype=np.uint8)
