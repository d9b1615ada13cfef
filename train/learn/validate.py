"""What a net says of validation faces while it learns, and the number that it is judged by."""

import numpy as np
import torch
from numpy.typing import NDArray

from train import metrics
from train.learn.augment import Pictures
from train.learn.feed import Feed
from train.learn.objective import Objective

Rows = NDArray[np.int64]


@torch.inference_mode()
def logits_of(objective: Objective, pictures: Pictures, feed: Feed, rows: Rows, batch: int) -> NDArray[np.float32]:
    """(n, K) in eval mode."""
    was = objective.training
    objective.eval()
    parts = [objective.logits(pictures.evaluation(*feed(rows[at : at + batch]))) for at in range(0, len(rows), batch)]
    objective.train(was)
    logits: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return logits


def score_of(logits: NDArray[np.float32], truth: NDArray[np.int64], select: str) -> float:
    """What validation is judged by: accuracy, macro recall, or mean F1 over units at a chance of one half."""
    if truth.ndim == 2:
        counts = metrics.unit_counts(metrics.sigmoid(logits), truth, np.full(truth.shape[1], 0.5))
        return float(np.nan_to_num(metrics.unit_f1(counts)).mean())
    counts = metrics.confusion(truth, logits.argmax(1), logits.shape[1])
    return metrics.macro(metrics.recalls(counts), counts) if select == "macro_recall" else metrics.accuracy(counts)
