"""Probabilities keep their promise, and thresholds reach what was asked for or say that they cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from axlstm.collection.classifiers.calibration import (
    ABSENT,
    Target,
    calibrate_classes,
    calibrate_label,
    choose_threshold,
    fit_sigmoid,
    hear_out_of_fold,
)
from axlstm.collection.classifiers.classifier import sigmoid
from axlstm.errors import ConfigError


def test_a_sigmoid_is_found_again() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000) * 40 + 100
    is_yes = rng.random(20_000) < sigmoid(0.05 * scores - 6)
    slope, offset = fit_sigmoid(scores, is_yes)
    assert slope == pytest.approx(0.05, rel=0.05)
    assert offset == pytest.approx(-6, rel=0.05)


def test_a_sigmoid_is_exact_on_both_sides() -> None:
    values = np.array([-np.inf, -700.0, -46.0, -30.0, -1.0, 0.0, 1.0, 46.0, np.inf])
    exact = [0.0, *(math.exp(x) / (1 + math.exp(x)) for x in values[1:6]), 1 / (1 + math.exp(-1)), 1.0, 1.0]
    np.testing.assert_allclose(sigmoid(values), exact, rtol=1e-15)
    assert 1e-20 < sigmoid(values)[2] < 2e-20
    assert np.isnan(sigmoid(np.array([np.nan]))).all()


def test_scores_that_part_yes_and_no_have_probabilities_off_0_and_1() -> None:
    slope, offset = fit_sigmoid(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True]))
    assert 0 < slope < 1000
    assert 0.01 < sigmoid(np.array([slope * 1 + offset]))[0] < 0.5


def test_probabilities_out_of_fold_come_from_other_folds() -> None:
    rng = np.random.default_rng(0)
    is_yes, folds = np.arange(60) % 3 == 0, np.arange(60) // 12
    scores = is_yes + rng.normal(size=60)
    before = calibrate_label(scores, is_yes, folds)
    after = calibrate_label(scores, np.where(folds == 2, ~is_yes, is_yes), folds)
    np.testing.assert_array_equal(before.out_of_fold[folds == 2], after.out_of_fold[folds == 2])
    assert before.note == ""


def test_few_windows_and_scores_that_tell_nothing_are_not_calibrated() -> None:
    scores = np.array([0.0, 1, 2, np.nan, 4, 5])
    few = calibrate_label(scores, scores > 1, np.arange(6) % 2)
    assert (few.slope, few.offset) == (1, 0)
    assert few.note == "not calibrated: it takes 5 tested windows of yes and of no, and of one there are only 2"
    assert np.isnan(few.out_of_fold[3, 0])
    reverse = calibrate_label(-np.arange(20.0), np.arange(20) > 9, np.arange(20) % 2)
    assert (reverse.slope, reverse.offset) == (1, 0)
    assert "no higher than those of no" in reverse.note


def test_classes_share_one_slope() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(5000, 3)) * 2
    classes = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    found = calibrate_classes(truth * 10, classes, np.arange(5000) % 5)
    assert found.slope == pytest.approx(0.1, rel=0.1)
    np.testing.assert_allclose(found.out_of_fold.sum(axis=1), 1)
    few = calibrate_classes(truth[:10], classes[:10], np.arange(10) % 2)
    assert "not calibrated: classes have fewer than 5 windows" in few.note


PROBABILITIES = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
IS_YES = np.array([True, True, True, True, True, False, True, False, False, False])


def test_a_threshold_reaches_the_precision_or_the_recall_that_is_asked_for() -> None:
    assert choose_threshold(PROBABILITIES, IS_YES, Target()) == (0.5, "")
    assert choose_threshold(PROBABILITIES, IS_YES, Target(precision=0.9)) == (0.7, "")
    assert choose_threshold(PROBABILITIES, IS_YES, Target(precision=0.8)) == (0.5, "")
    assert choose_threshold(PROBABILITIES, IS_YES, Target(recall=0.5)) == (0.85, "")
    assert choose_threshold(PROBABILITIES, IS_YES, Target(recall=1.0)) == (0.5, "")


def test_a_precision_that_is_not_reached_is_told() -> None:
    threshold, told = choose_threshold(PROBABILITIES, IS_YES[::-1], Target(precision=0.9))
    assert threshold == 0.2
    assert told == "precision 0.9 is not reached: the best, 0.60, is taken"


def test_one_sure_window_is_no_precision() -> None:
    is_yes = np.array([True, False, False, False, True, True, False, True, False, False])
    threshold, told = choose_threshold(PROBABILITIES, is_yes, Target(precision=0.9))
    assert "not reached" in told
    assert threshold < 0.9


def test_without_scores_there_is_no_threshold_to_choose() -> None:
    nothing = np.full(4, np.nan)
    threshold, told = choose_threshold(nothing, np.ones(4, dtype=bool), Target(recall=0.9))
    assert threshold == 0.5
    assert told == "a recall cannot be told without scores out of fold: the threshold is 0.5"


def test_targets_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose one of them"):
        Target(0.9, 0.9)
    for share in (0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="expected a share, above 0 and at most 1"):
            Target(precision=share)


def test_a_class_that_was_not_there_says_nothing_about_the_slope() -> None:
    """As one of a single group is not where that group is held out."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 400)
    scores = np.full((400, 3), ABSENT)
    scores[:, :2] = rng.normal(size=(400, 2)) + 3 * np.eye(2)[classes]
    folds = np.arange(400) % 5
    alone = calibrate_classes(scores, classes, folds)
    beside = calibrate_classes(
        np.concatenate([scores, scores[:60]]),
        np.concatenate([classes, np.full(60, 2)]),
        np.concatenate([folds, [0] * 60]),
    )
    assert beside.slope == alone.slope
    assert not beside.note
    assert (beside.out_of_fold[400:, 2] < 1e-6).all()  # they are judged, and are wrong


def test_a_precision_is_told_of_windows_that_did_not_choose_the_threshold() -> None:
    """Of scores that say nothing, the best threshold for some windows is a lucky one."""
    told, honest = list[bool](), list[bool]()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        probabilities, is_yes, folds = rng.random(60), rng.random(60) < 0.5, np.arange(60) % 5
        target = Target(precision=0.9)
        threshold, _ = choose_threshold(probabilities, is_yes, target)
        told += is_yes[probabilities >= threshold].tolist()
        honest += is_yes[hear_out_of_fold(probabilities, is_yes, folds, target)].tolist()
    assert np.mean(told) > 0.57
    assert np.mean(honest) < 0.53
