"""What more labels would bring is read off heads that saw fewer, and is never more than there is to gain."""

from __future__ import annotations

import numpy as np
import pytest

from axlstm.collection.classifiers.heads import Setting, make_problem
from axlstm.collection.classifiers.learning import estimate_gain, score_with_fewer


def _scores(is_yes: np.ndarray, distance: float, seed: int) -> np.ndarray:
    return distance * is_yes + np.random.default_rng(seed).normal(size=len(is_yes))


def test_a_gain_is_found_where_larger_sizes_are_better() -> None:
    is_yes, groups = np.arange(2000) % 2 == 0, np.arange(2000) // 20
    smaller = [(size, [_scores(is_yes, 3 - 6 / np.sqrt(size), seed) for seed in range(4)]) for size in (10, 20, 40, 80)]
    found = estimate_gain(smaller, is_yes, groups, 80)
    assert found is not None
    averages = [one.mean for one in found.averages]
    assert averages == sorted(averages)
    assert 0 < found.gain.low < found.gain.mean < found.gain.high < 1 - averages[-1]
    later = estimate_gain(smaller, is_yes, groups, 800)
    assert later is not None
    assert later.gain.mean < found.gain.mean / 4


def test_where_size_brings_nothing_the_interval_holds_zero() -> None:
    is_yes, groups = np.arange(400) % 2 == 0, np.arange(400) // 20
    smaller = [(size, [_scores(is_yes, 1, size + seed) for seed in range(4)]) for size in (10, 20, 40, 80)]
    found = estimate_gain(smaller, is_yes, groups, 80)
    assert found is not None
    assert found.gain.low < 0 < found.gain.high


def test_what_is_perfect_gains_nothing() -> None:
    is_yes, groups = np.arange(40) % 2 == 0, np.arange(40) // 4
    smaller = [(10.0, [_scores(is_yes, 1, 0)]), (20.0, [_scores(is_yes, 1, 1)]), (40.0, [is_yes.astype(float)])]
    found = estimate_gain(smaller, is_yes, groups, 40)
    assert found is not None
    assert found.gain.mean == 0


@pytest.mark.parametrize("sizes", [1, 2])
def test_few_sizes_and_one_kind_of_windows_tell_nothing(sizes: int) -> None:
    is_yes, groups = np.arange(40) % 2 == 0, np.arange(40) // 4
    smaller = [(10.0 * size, [_scores(is_yes, 1, 0)]) for size in range(1, 4)]
    assert estimate_gain(smaller[:sizes], is_yes, groups, 40) is None
    assert estimate_gain(smaller, np.zeros(40, dtype=bool), groups, 40) is None


def test_heads_see_shares_of_each_class_of_the_other_folds() -> None:
    rng = np.random.default_rng(0)
    classes, folds = np.arange(80) % 4 // 3, np.arange(80) // 4 % 5
    problem = make_problem(rng.normal(size=(80, 6)) + classes[:, None], classes, np.ones(80), 2)
    judged = np.ones(80, dtype=bool)
    found = score_with_fewer(problem, folds, judged, Setting("logistic", 2.0))
    assert [one.size for one in found] == [8, 16, 32, 48, 64]
    assert [len(one.scores) for one in found] == [4, 4, 4, 4, 1]
    assert all(np.isfinite(scores).all() for one in found for scores in one.scores)
    assert score_with_fewer(problem, np.zeros(80, np.int64), judged, Setting("logistic", 2.0)) == []
    few = make_problem(problem.vectors[:20], classes[:20], np.ones(20), 2)
    assert score_with_fewer(few, folds[:20], judged[:20], Setting("logistic", 2.0)) == []
