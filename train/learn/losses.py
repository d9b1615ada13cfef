"""The losses of the four nets, as published; where the released code departs from its equation, both are here."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -sum_k t_k log softmax(z)_k, a scalar.

    Args:
        logits: (B, K).
        targets: (B,) integer classes, or (B, K) soft labels that sum to one.
        smoothing: share of each target that is spread evenly over all K classes, its own included.

    Source: Szegedy et al. (CVPR 2016), sec. 7; FcaNet trains with 0.1. Soft labels: Barsoum et al. (ICMI 2016), eq. 1.
    """
    if targets.dim() == 1:
        targets = functional.one_hot(targets.long(), logits.shape[1])
    targets = targets.to(logits.dtype)  # (B, K)
    targets = (1.0 - smoothing) * targets + smoothing / logits.shape[1]
    return -(targets * logits.log_softmax(1)).sum(1).mean()


class SparseCentreLoss(nn.Module):
    """DACL's attentive centre loss: sum over samples and features of A (f - c_y)^2 / 2, divided by the batch, a scalar.

    The centres move by the released rule, which is NOT the gradient of the loss: for class k with n_k samples in the
    batch, -sum A (f - c_k) / (1 + n_k). The weight λ that the loss is multiplied with, whatever else comes down from
    above, and the batch size do not reach it; so centres are trained by plain SGD of their own (α = 0.5, no momentum,
    no decay), which gives c_k <- c_k + α sum A (f - c_k) / (1 + n_k). Classes that are absent stay.

    Centres start normal with the released standard deviation sqrt(2 / classes): the released code initialises the
    transposed matrix, so its fan is the number of classes and not the 512 features.

    The loss is an ordinary scalar (the released one has shape (1,)). The attention's gradient is never negative:
    only a small λ (0.01) keeps it from going to zero.

    Source: Farzaneh & Qi (WACV 2021), eq. 5-7; amirhfarzaneh/dacl `loss.py` (no licence file; nothing copied).
    """

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.empty(classes, features))  # upstream's name
        nn.init.normal_(self.centers, std=(2.0 / classes) ** 0.5)

    def forward(self, features: Tensor, attention: Tensor, labels: Tensor) -> Tensor:
        """(B, D), (B, D) in 0..1 and (B,) integer -> scalar."""
        features, attention = features.to(self.centers.dtype), attention.to(self.centers.dtype)
        loss: Tensor = _SparseCentre.apply(  # type: ignore[no-untyped-call]
            features, attention, labels.long(), self.centers
        )
        return loss


class _SparseCentre(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, attention: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
        offset = features - centres[labels]  # (B, D)
        ctx.save_for_backward(offset, attention, labels)
        ctx.classes = len(centres)
        return (attention * offset.square()).sum() / (2 * len(features))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, Tensor, None, Tensor]:
        offset, attention, labels = ctx.saved_tensors
        pull = attention * offset  # (B, D)
        batch = len(labels)
        sums = pull.new_zeros(ctx.classes, pull.shape[1]).index_add_(0, labels, pull)  # (classes, D)
        counts = torch.bincount(labels, minlength=ctx.classes).to(pull.dtype)
        return above * pull / batch, above * offset.square() / (2 * batch), None, -sums / (1.0 + counts)[:, None]


def multi_label_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid cross-entropy over action units, summed over units, divided by the batch, a scalar.

    -1/N sum over y > 0 of log s(z) and over y < 0 of log(1 - s(z)); units labelled 0 do not count, nor do they lessen
    the divisor. Written on logits, log s(y z), so that a confident wrong answer keeps its gradient of 1/N.

    Args:
        logits: (B, units).
        labels: (B, units), -1 absent, 0 unknown, 1 present. Labels in {0, 1} are another coding: pass 2 * y - 1.

    Source: Zhao et al., DRML (CVPR 2016), eq. 1; zkl20061823/DRML
    `src/caffe/layers/multi_sigmoid_cross_entropy_loss_layer.cpp` (no licence file; nothing copied).
    """
    signs = torch.sign(labels).to(logits.dtype)
    return -(signs.abs() * functional.logsigmoid(signs * logits)).sum() / len(logits)
