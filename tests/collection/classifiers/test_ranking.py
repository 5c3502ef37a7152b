"""Average precision, ROC and their curves are those of scikit-learn, weights and ties included."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from axlstm.collection.classifiers.ranking import rank


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_scikit_learn(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    is_yes, scores = rng.random(60) < 0.3, rng.integers(levels, size=60) / 7
    weights = np.stack([np.ones(60), rng.integers(0, 4, 60)]).astype(float)
    ranking = rank(is_yes, scores, weights)
    for row, own in enumerate(weights):
        expected = average_precision_score(is_yes, scores, sample_weight=own)
        assert ranking.average_precision[row] == pytest.approx(expected)
        assert ranking.area_under_roc[row] == pytest.approx(roc_auc_score(is_yes, scores, sample_weight=own))
    precision, recall, thresholds = precision_recall_curve(is_yes, scores)
    np.testing.assert_allclose(ranking.precision[0][::-1], precision[:-1])
    np.testing.assert_allclose(ranking.recall[0][::-1], recall[:-1])
    np.testing.assert_allclose(ranking.thresholds[::-1], thresholds)


def test_a_weight_counts_like_so_many_windows() -> None:
    is_yes, scores = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.4, 0.1])
    times = np.array([2, 0, 1, 3])
    repeated = rank(np.repeat(is_yes, times), np.repeat(scores, times))
    weighted = rank(is_yes, scores, times[None].astype(float))
    assert weighted.average_precision[0] == pytest.approx(repeated.average_precision[0])


def test_without_a_yes_there_is_no_value() -> None:
    ranking = rank(np.zeros(3, dtype=bool), np.arange(3.0))
    assert np.isnan(ranking.average_precision[0])
    assert np.isnan(ranking.area_under_roc[0])
