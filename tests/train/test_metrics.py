"""Small cases computed by hand."""

import numpy as np
import pytest

from train import metrics

# truth 0 0 0 1 1 2 and one without a label; answers 0 0 1 1 2 2
TRUTH = np.array([0, 0, 0, 1, 1, 2, -1])
SAID = np.array([0, 0, 1, 1, 2, 2, 0])


def test_confusion_has_the_truth_in_rows_and_leaves_out_what_has_no_label() -> None:
    assert metrics.confusion(TRUTH, SAID, 3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_accuracy_recall_and_f1() -> None:
    counts = metrics.confusion(TRUTH, SAID, 3)
    assert metrics.accuracy(counts) == pytest.approx(4 / 6)
    assert metrics.recalls(counts) == pytest.approx([2 / 3, 1 / 2, 1.0])
    # class 0: precision 1, recall 2/3; class 1: 1/2, 1/2; class 2: 1/2, 1
    assert metrics.f1_scores(counts) == pytest.approx([0.8, 0.5, 2 / 3])
    assert metrics.macro(metrics.recalls(counts), counts) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_a_class_that_is_not_there_is_not_in_the_mean() -> None:
    counts = metrics.confusion(np.array([0, 1]), np.array([0, 1]), 3)
    assert np.isnan(metrics.recalls(counts)[2])
    assert metrics.macro(metrics.recalls(counts), counts) == 1.0


def test_calibration_error_of_two_bins() -> None:
    # four answers of 0.9, three right: gap 0.15; two of 0.6, none right: gap 0.6
    sure = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    right = np.array([True, True, True, False, False, False])
    assert metrics.reliability(sure, right, bins=10).error == pytest.approx((4 * 0.15 + 2 * 0.6) / 6)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin_and_one_to_the_last() -> None:
    bins = metrics.reliability(np.array([0.5, 1.0]), np.array([True, True]), bins=2)
    assert bins.count.tolist() == [1, 1]


def test_the_temperature_undoes_a_scale() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    truth = np.array([random.choice(3, p=row) for row in metrics.softmax(logits)])
    fitted = metrics.fit_temperature(3.0 * logits, truth)
    assert fitted == pytest.approx(3.0, rel=0.05)  # 4,000 draws leave about 2 %
    lower, higher = (metrics.surprise(3.0 * logits, truth, fitted * factor) for factor in (0.99, 1.01))
    assert metrics.surprise(3.0 * logits, truth, fitted) < min(lower, higher)


def test_the_surprise_of_an_even_guess_is_the_logarithm_of_the_classes() -> None:
    assert metrics.surprise(np.zeros((2, 4)), np.array([1, 3])) == pytest.approx(np.log(4))
    assert metrics.surprise(np.zeros((2, 2)), np.array([[1, -1], [0, 1]])) == pytest.approx(np.log(2))


def test_f1_of_units_leaves_out_what_nobody_labelled() -> None:
    chances = np.array([[0.9, 0.9], [0.9, 0.2], [0.2, 0.2], [0.9, 0.9]])
    truth = np.array([[1, 1], [0, 1], [1, 0], [-1, 0]])
    counts = metrics.unit_counts(chances, truth, np.array([0.5, 0.5]))
    assert counts.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert metrics.unit_f1(counts) == pytest.approx([0.5, 0.5])


def test_the_best_threshold_is_the_best_of_all_by_trying() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(-1, 2, (60, 1))
    chances = np.round(np.clip(0.3 * (truth == 1) + random.random((60, 1)) * 0.7, 0, 1), 1)  # many equal
    best = metrics.best_thresholds(chances, truth)

    def f1(threshold: float) -> float:
        return float(metrics.unit_f1(metrics.unit_counts(chances, truth, np.array([threshold])))[0])

    assert f1(best[0]) == pytest.approx(max(f1(each) for each in np.linspace(0.01, 1, 100)))
    assert metrics.best_thresholds(chances, np.zeros_like(truth))[0] == 0.5


def test_auc_counts_pairs_and_half_of_ties() -> None:
    scores, truth = np.array([0.1, 0.4, 0.4, 0.8, 0.9]), np.array([0, 0, 1, 1, -1])
    # pairs: (0.4, 0.1) 1, (0.4, 0.4) ½, (0.8, 0.1) 1, (0.8, 0.4) 1 of 4
    assert metrics.auc(scores, truth) == pytest.approx(3.5 / 4)
    assert np.isnan(metrics.auc(scores, np.ones(5, int)))


def test_agreement_beyond_chance() -> None:
    one, other = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # 3 of 4 equal; by chance 1/2 · 1/4 + 1/2 · 3/4 = 1/2
    assert metrics.agreement(one, other) == {"agreement": 0.75, "kappa": pytest.approx(0.5)}


def test_groups_are_equally_large_and_hold_everything_once() -> None:
    groups = metrics.quantile_groups(np.arange(100.0))
    assert [int(which.sum()) for *_, which in groups] == [25, 25, 25, 25]
    assert np.sum([which for *_, which in groups], axis=0).tolist() == [1] * 100
    assert len(metrics.quantile_groups(np.ones(9))) == 1
