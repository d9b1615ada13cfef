"""The losses against their equations, in numpy loops, and the released rules where they are not gradients."""

import math

import numpy as np
import pytest
import torch

from train.learn.losses import (
    SparseCentreLoss,
    cross_entropy,
    multi_label_cross_entropy,
)

RELATIVE = 1e-9  # the bound; float64 rounding is near 1e-15 here


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def cross_entropy_by_the_equation(logits, targets, smoothing):
    """Loss and gradient: -1/B sum_b sum_k t log softmax(z); dL/dz = (softmax(z) sum(t) - t) / B."""
    batch, classes = logits.shape
    loss, gradient = 0.0, np.zeros_like(logits)
    for b in range(batch):
        shares = np.exp(logits[b] - logits[b].max())
        shares /= shares.sum()
        for k in range(classes):
            target = (1 - smoothing) * targets[b, k] + smoothing / classes
            loss -= target * math.log(shares[k]) / batch
            gradient[b, k] = (shares[k] - target) / batch
    return loss, gradient


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [True, False])
def test_cross_entropy_and_its_gradient_follow_the_equation(smoothing, soft):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (5, 7))
    targets = random.dirichlet(np.ones(7), 5) if soft else np.eye(7)[random.integers(0, 7, 5)]
    z = torch.tensor(logits, requires_grad=True)

    given = torch.tensor(targets) if soft else torch.tensor(targets.argmax(1))
    loss = cross_entropy(z, given, smoothing=smoothing)
    loss.backward()

    value, gradient = cross_entropy_by_the_equation(logits, targets, smoothing)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(value, rel=RELATIVE)
    np.testing.assert_allclose(z.grad, gradient, rtol=RELATIVE, atol=1e-15)


def centre_loss_by_the_release(features, attention, labels, centres, above):
    """Loss, and what amirhfarzaneh/dacl sends back to features, attention and centres."""
    batch = len(labels)
    loss = 0.0
    to_features, to_attention = np.zeros_like(features), np.zeros_like(attention)
    to_centres = np.zeros_like(centres)
    counts = [sum(label == k for label in labels) for k in range(len(centres))]
    for b, label in enumerate(labels):
        for j in range(features.shape[1]):
            offset = features[b, j] - centres[label, j]
            loss += attention[b, j] * offset**2 / 2 / batch
            to_features[b, j] = above * attention[b, j] * offset / batch
            to_attention[b, j] = above * offset**2 / 2 / batch
            to_centres[label, j] -= attention[b, j] * offset / (1 + counts[label])
    return loss, to_features, to_attention, to_centres


def centre_loss_case():
    random = np.random.default_rng(1)
    labels = np.array([0, 2, 2, 0, 0, 3])  # class 1 is absent
    return random.normal(size=(6, 9)), random.uniform(size=(6, 9)), labels, random.normal(size=(4, 9))


@pytest.mark.parametrize("weight", [1.0, 0.01])
def test_the_sparse_centre_loss_follows_the_release(weight):
    features, attention, labels, centres = centre_loss_case()
    loss_of = SparseCentreLoss(4, 9).double()
    loss_of.centers.data = torch.tensor(centres)
    f, a = torch.tensor(features, requires_grad=True), torch.tensor(attention, requires_grad=True)

    loss = loss_of(f, a, torch.tensor(labels))
    (weight * loss).backward()

    value, *gradients = centre_loss_by_the_release(features, attention, labels, centres, weight)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(value, rel=RELATIVE)
    for seen, wanted in zip((f.grad, a.grad, loss_of.centers.grad), gradients, strict=True):
        np.testing.assert_allclose(seen, wanted, rtol=RELATIVE)
    assert not loss_of.centers.grad[1].any()


def test_the_weight_of_the_loss_does_not_reach_the_centres():
    features, attention, labels, centres = (torch.tensor(each) for each in centre_loss_case())
    moved = []
    for weight in (1.0, 0.01):
        loss_of = SparseCentreLoss(4, 9).double()
        loss_of.centers.data = centres.clone()
        (weight * loss_of(features, attention, labels)).backward()
        moved.append(loss_of.centers.grad)

    assert torch.equal(moved[0], moved[1])


def test_a_plain_gradient_would_be_another_rule():
    features, attention, labels, centres = (torch.tensor(each) for each in centre_loss_case())
    loss_of = SparseCentreLoss(4, 9).double()
    loss_of.centers.data = centres.clone()
    loss_of(features, attention, labels).backward()
    plain = centres.clone().requires_grad_()
    ((attention * (features - plain[labels]) ** 2).sum() / 2 / 6).backward()

    ratio = (loss_of.centers.grad / plain.grad)[[0, 2, 3], 0]

    assert ratio.tolist() == pytest.approx([6 / 4, 6 / 3, 6 / 2], rel=RELATIVE)  # batch / (1 + n_k)


def test_one_step_of_sgd_moves_centres_by_the_published_rule():
    features, attention, labels, centres = centre_loss_case()
    loss_of = SparseCentreLoss(4, 9).double()
    loss_of.centers.data = torch.tensor(centres)
    optimiser = torch.optim.SGD(loss_of.parameters(), lr=0.5)

    (0.01 * loss_of(torch.tensor(features), torch.tensor(attention), torch.tensor(labels))).backward()
    optimiser.step()

    wanted = centres.copy()
    for k in range(4):
        mine = labels == k
        wanted[k] += 0.5 * (attention[mine] * (features[mine] - centres[k])).sum(0) / (1 + mine.sum())
    np.testing.assert_allclose(loss_of.centers.detach(), wanted, rtol=RELATIVE)


def test_centres_start_with_the_released_deviation_and_not_that_of_512_features():
    torch.manual_seed(0)

    deviation = SparseCentreLoss(7, 512).centers.std().item()

    assert deviation == pytest.approx(math.sqrt(2 / 7), rel=0.04)  # 3,584 draws: 1.2 % standard error
    assert deviation > 8 * math.sqrt(2 / 512)


def test_half_precision_features_are_summed_in_the_precision_of_the_centres():
    loss_of = SparseCentreLoss(3, 512)
    features = torch.full((2, 512), 10.0, dtype=torch.bfloat16, requires_grad=True)

    loss = loss_of(features, torch.ones(2, 512, dtype=torch.bfloat16), torch.tensor([0, 1]))
    loss.backward()

    assert loss.dtype == torch.float32
    assert features.grad.dtype == torch.bfloat16


def multi_label_by_the_equation(logits, labels):
    """-1/N sum {[y > 0] log s + [y < 0] log(1 - s)}; gradient (s - [y > 0]) / N, 0 where y = 0."""
    loss, gradient = 0.0, np.zeros_like(logits)
    for n, row in enumerate(logits):
        for c, z in enumerate(row):
            share = 1 / (1 + math.exp(-z))
            if labels[n, c] > 0:
                loss -= math.log(share) / len(logits)
                gradient[n, c] = (share - 1) / len(logits)
            elif labels[n, c] < 0:
                loss -= math.log(1 - share) / len(logits)
                gradient[n, c] = share / len(logits)
    return loss, gradient


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_the_multi_label_loss_follows_the_equation(dtype):
    random = np.random.default_rng(2)
    logits, labels = random.normal(0, 3, (6, 12)), random.integers(-1, 2, (6, 12))
    z = torch.tensor(logits, requires_grad=True)

    loss = multi_label_cross_entropy(z, torch.tensor(labels, dtype=dtype))
    loss.backward()

    value, gradient = multi_label_by_the_equation(logits, labels)
    assert loss.item() == pytest.approx(value, rel=RELATIVE)
    np.testing.assert_allclose(z.grad, gradient, rtol=RELATIVE, atol=1e-15)


@pytest.mark.parametrize(
    ("logit", "label", "wanted"),
    [
        (30.0, -1, 30.0),  # a confident false alarm: 1 - sigmoid is zero in float32
        (-30.0, 1, 30.0),
        (-110.0, 1, 110.0),  # the sigmoid itself is zero
        (30.0, 1, 0.0),  # right
        (1e4, -1, 1e4),  # nothing overflows
    ],
)
def test_a_confident_wrong_answer_keeps_its_gradient(logit, label, wanted):
    z = torch.tensor([[logit], [0.0]], requires_grad=True)

    loss = multi_label_cross_entropy(z, torch.tensor([[label], [0]]))
    loss.backward()

    wrong = float(np.sign(logit) != label)
    assert 2 * loss.item() == pytest.approx(wanted, abs=1e-4)
    assert 2 * z.grad[0, 0].item() == pytest.approx(-label * wrong, abs=1e-4)


def test_unknown_units_neither_count_nor_divide():
    logits = torch.randn(4, 3, dtype=torch.float64)
    labels = torch.tensor([[1, 0, -1]] * 4)

    whole = multi_label_cross_entropy(logits, labels)
    without = multi_label_cross_entropy(logits[:, [0, 2]], labels[:, [0, 2]])

    assert whole.item() == pytest.approx(without.item(), rel=RELATIVE)
    assert multi_label_cross_entropy(logits, torch.zeros(4, 3)).item() == 0.0
