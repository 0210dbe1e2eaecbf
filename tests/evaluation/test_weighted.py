"""The vectorised scores against scikit-learn and against explicit resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from cxr_keras.evaluation.weighted import CALIBRATION_BINS, prepare, weighted_scores

TOLERANCE = 1e-12


def random_problem(seed: int, k: int, *, ties: bool):
    """Truth (every class occurs), probabilities, groups of one to several images, and positive weights of the groups."""
    random = np.random.default_rng(seed)
    n = int(random.integers(4 * k, 60))
    truth = np.append(np.arange(k), random.integers(k, size=n - k))
    groups = np.unique(random.integers(n // 2, size=n), return_inverse=True)[1]
    logits = random.normal(size=(n, k)) + 1.5 * np.eye(k)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        counts = np.floor(probabilities * 8)
        counts[:, 0] += 8 - counts.sum(axis=1)
        probabilities = counts / 8
    return truth, probabilities, groups, random.integers(1, 5, size=groups.max() + 1)


problems = st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 5), st.booleans())


@settings(max_examples=60, deadline=None)
@given(problems)
def test_equals_scikit_learn_with_sample_weights(problem):
    seed, k, ties = problem
    truth, probabilities, groups, weights = random_problem(seed, k, ties=ties)
    scores = weighted_scores(prepare(truth, probabilities, groups), weights[None])
    sample_weight = weights[groups]
    predicted = probabilities.argmax(axis=1)

    def close(ours, theirs):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)

    close(scores.overall["accuracy"][0], metrics.accuracy_score(truth, predicted, sample_weight=sample_weight))
    close(
        scores.overall["balanced_accuracy"][0],
        metrics.balanced_accuracy_score(truth, predicted, sample_weight=sample_weight),
    )
    confusion = metrics.confusion_matrix(truth, predicted, labels=range(k), sample_weight=sample_weight)
    close(scores.confusion[0], confusion)
    for average in (None, "macro", "weighted"):
        precision, sensitivity, f1, _ = metrics.precision_recall_fscore_support(
            truth, predicted, labels=range(k), average=average, sample_weight=sample_weight, zero_division=np.nan
        )
        for name, theirs in (("sensitivity", sensitivity), ("f1", f1)):
            ours = scores.per_class[name][0] if average is None else scores.overall[f"{average}_{name}"][0]
            close(ours, theirs)
        if len(np.unique(predicted)) == k:
            close(
                scores.per_class["precision"][0] if average is None else scores.overall[f"{average}_precision"][0],
                precision,
            )
    for index in range(k):
        positive, column = truth == index, probabilities[:, index]
        close(
            scores.per_class["specificity"][0, index],
            metrics.recall_score(~positive, predicted != index, sample_weight=sample_weight),
        )
        close(scores.per_class["auroc"][0, index], metrics.roc_auc_score(positive, column, sample_weight=sample_weight))
        close(
            scores.per_class["auprc"][0, index],
            metrics.average_precision_score(positive, column, sample_weight=sample_weight),
        )
    close(scores.overall["log_loss"][0], metrics.log_loss(truth, probabilities, sample_weight=sample_weight, labels=range(k)))
    close(
        scores.overall["brier"][0],
        metrics.brier_score_loss(truth, probabilities, sample_weight=sample_weight, labels=range(k), scale_by_half=False)
        if k > 2
        else 2 * metrics.brier_score_loss(truth, probabilities[:, 1], sample_weight=sample_weight),
    )


@settings(max_examples=40, deadline=None)
@given(problems)
def test_weights_equal_explicit_resampling(problem):
    seed, k, ties = problem
    truth, probabilities, groups, _ = random_problem(seed, k, ties=ties)
    n_groups = groups.max() + 1
    drawn = np.random.default_rng(seed).integers(n_groups, size=n_groups)
    rows = np.concatenate([np.flatnonzero(groups == group) for group in drawn])
    weights = np.bincount(drawn, minlength=n_groups)

    by_weight = weighted_scores(prepare(truth, probabilities, groups), weights[None])
    rows_alone = np.arange(len(rows))
    by_rows = weighted_scores(prepare(truth[rows], probabilities[rows], rows_alone), np.ones((1, len(rows))))
    for name, expected in by_rows.overall.items():
        np.testing.assert_allclose(by_weight.overall[name], expected, rtol=0, atol=TOLERANCE, err_msg=name)
    for name, expected in by_rows.per_class.items():
        np.testing.assert_allclose(by_weight.per_class[name], expected, rtol=0, atol=TOLERANCE, err_msg=name)
    np.testing.assert_array_equal(by_weight.confusion, by_rows.confusion)


def test_many_weightings_at_once_equal_one_by_one():
    truth, probabilities, groups, _ = random_problem(3, 4, ties=False)
    terms = prepare(truth, probabilities, groups)
    weights = np.random.default_rng(0).integers(0, 3, size=(7, terms.n_groups))
    together = weighted_scores(terms, weights)
    for draw in range(7):
        alone = weighted_scores(terms, weights[draw : draw + 1])
        for name, values in alone.overall.items():
            np.testing.assert_allclose(together.overall[name][draw], values[0], rtol=0, atol=TOLERANCE, err_msg=name)


def test_calibration_error_against_a_loop_over_bins():
    truth, probabilities, groups, weights = random_problem(11, 3, ties=True)
    ours = weighted_scores(prepare(truth, probabilities, groups), weights[None]).overall["expected_calibration_error"][0]
    sample_weight = weights[groups]
    top, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for index in range(CALIBRATION_BINS):
        low, high = index / CALIBRATION_BINS, (index + 1) / CALIBRATION_BINS
        inside = (top > low) & (top <= high)
        if inside.any():
            share = sample_weight[inside].sum() / sample_weight.sum()
            accuracy = np.average(correct[inside], weights=sample_weight[inside])
            expected += share * abs(accuracy - np.average(top[inside], weights=sample_weight[inside]))
    assert ours == pytest.approx(expected, abs=TOLERANCE)


def test_a_tie_goes_to_the_first_class():
    scores = weighted_scores(prepare(np.array([0, 1]), np.full((2, 2), 0.5), np.array([0, 1])), np.ones((1, 2)))
    assert scores.confusion[0].tolist() == [[1, 0], [1, 0]]
    assert scores.overall["auroc"][0] == 0.5


def test_a_class_without_images_leaves_macro_precision_and_f1_undefined():
    truth, probabilities = np.array([1, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    found = weighted_scores(prepare(truth, probabilities, np.arange(3)), np.ones((1, 3)))
    assert np.isnan(found.overall["macro_f1"]).all() and np.isnan(found.overall["macro_precision"]).all()
    assert found.per_class["f1"][0].tolist() == [0.0, 0.8] and found.overall["weighted_f1"][0] == pytest.approx(0.8)


def test_what_has_no_denominator_is_undefined_and_not_zero():
    # Three classes; the third neither occurs nor is predicted, the second occurs and is never predicted.
    truth, probabilities = np.array([0, 0, 1]), np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])
    scores = weighted_scores(prepare(truth, probabilities, np.arange(3)), np.ones((1, 3)))
    nan = np.nan
    np.testing.assert_array_equal(scores.per_class["precision"][0], [2 / 3, nan, nan])
    np.testing.assert_array_equal(scores.per_class["sensitivity"][0], [1, 0, nan])
    np.testing.assert_array_equal(scores.per_class["f1"][0], [0.8, 0, nan])
    np.testing.assert_array_equal(scores.per_class["auroc"][0], [1, 1, nan])
    np.testing.assert_array_equal(scores.per_class["auprc"][0], [1, 1, nan])
    assert np.isnan(scores.overall["macro_f1"][0])
    assert scores.overall["weighted_sensitivity"][0] == pytest.approx(2 / 3)
    assert np.isnan(scores.overall["weighted_precision"][0])


def test_bins_of_the_calibration_error_end_with_their_upper_edge():
    # 0.6 is 9/15, the upper edge of the bin of 0.55: the errors -0.6 and +0.45 of one bin partly cancel.
    probabilities = np.array([[0.6, 0.4], [0.55, 0.45]])
    scores = weighted_scores(prepare(np.array([1, 0]), probabilities, np.arange(2)), np.ones((1, 2)))
    assert scores.overall["expected_calibration_error"][0] == pytest.approx(0.15 / 2)


def test_areas_need_both_kinds_of_images():
    scores = weighted_scores(prepare(np.array([1, 1]), np.full((2, 2), 0.5), np.arange(2)), np.ones((1, 2)))
    for name in ("auroc", "auprc"):
        assert np.isnan(scores.per_class[name]).all(), name
