"""Intervals draw whole groups, so that many windows of one recording do not make a number look sure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.intervals import by_groups, show
from axlstm.evaluate.reporting.interval import Interval


def _mean_of(values: NDArray[np.float64]):
    def mean(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        weights = np.ones((1, len(values))) if weights is None else weights
        return (weights @ values / weights.sum(axis=1))[:, None]

    return mean


def test_intervals_cover_the_truth_where_windows_of_a_group_are_alike() -> None:
    rng = np.random.default_rng(0)
    covered = {"groups": 0, "windows": 0}
    for _ in range(100):
        own = rng.normal(size=20)
        values, groups = np.repeat(own, 10) + 0.1 * rng.normal(size=200), np.repeat(np.arange(20), 10)
        for name, of in (("groups", groups), ("windows", np.arange(200))):
            _, low, high = by_groups(_mean_of(values), of)
            covered[name] += int(low[0] < 0 < high[0])
    assert covered["groups"] > 85
    assert covered["windows"] < 65


def test_one_group_has_no_interval_and_equal_seeds_equal_ones() -> None:
    values = np.arange(6.0)
    value, low, _ = by_groups(_mean_of(values), np.zeros(6, np.int64))
    assert value[0] == 2.5
    assert np.isnan(low[0])
    groups = np.arange(6) // 2
    assert by_groups(_mean_of(values), groups, 3) == by_groups(_mean_of(values), groups, 3)


def test_intervals_are_shown_as_far_as_they_are_known() -> None:
    nan = float("nan")
    assert show(Interval(0.5, 0.4, 0.6)) == "0.50 (0.40 to 0.60)"
    assert show(Interval(0.5, nan, nan), "+.3f") == "+0.500"
    assert show(Interval(nan, nan, nan)) == "-"
