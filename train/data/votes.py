"""What ten taggers' votes say: the FER+ protocol (Barsoum et al., ICMI 2016)."""

import numpy as np
from numpy.typing import NDArray

from contract.labels import EXPRESSIONS

Votes = NDArray[np.uint8]
"""(N, 10): the eight expressions, «unknown», «NF» (no face)."""


def kept_votes(votes: Votes) -> Votes:
    """The votes without outliers: a word that one tagger alone chose does not count."""
    return np.where(votes > 1, votes, 0).astype(np.uint8)


def majority(votes: Votes) -> NDArray[np.int64]:
    """(N,) expression with more than half of the kept votes; −1 where there is none."""
    kept = kept_votes(votes).astype(np.int64)
    winner = kept.argmax(1)
    holds = (kept.max(1) * 2 > kept.sum(1)) & (winner < len(EXPRESSIONS))
    return np.where(holds, winner, -1)


def argmax(votes: Votes) -> NDArray[np.int64]:
    """(N,) expression with the most kept votes; −1 where «unknown», «NF» or nothing wins."""
    kept = kept_votes(votes).astype(np.int64)
    winner = kept.argmax(1)
    return np.where((kept.max(1) > 0) & (winner < len(EXPRESSIONS)), winner, -1)


def shares(votes: Votes) -> NDArray[np.float32]:
    """(N, 8) kept votes of the expressions as shares of one; zeros where none is kept."""
    kept = kept_votes(votes)[:, : len(EXPRESSIONS)].astype(np.float32)
    portions: NDArray[np.float32] = kept / np.maximum(kept.sum(1, keepdims=True), 1.0)
    return portions
