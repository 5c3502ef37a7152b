"""Intervals, the overall score, comparisons and ranks."""

import math

import numpy as np
import pytest
from scipy import stats

from axlstm.errors import ConfigError
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.reporting.statistics import (
    Scores,
    compare,
    critical_difference,
    mean_ranks,
    overall_scores,
    t_interval,
)


def results_of(table: dict, minimised: tuple[str, ...] = ()) -> list[Result]:
    return [
        Result(model, task, seed, score, "top1_acc", task not in minimised, {}, {})
        for (model, task), values in table.items()
        for seed, score in enumerate(values)
    ]


def test_t_interval_equals_scipys() -> None:
    values = [0.5, 0.52, 0.47, 0.55]
    interval = t_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.mean, interval.low, interval.high) == pytest.approx((np.mean(values), low, high))
    assert math.isinf(t_interval([0.5]).half_width)


def test_overall_score_is_scaled_between_the_worst_and_best_model() -> None:
    table = {("a", "t"): [0.2, 0.2], ("b", "t"): [0.6, 0.6], ("c", "t"): [0.3, 0.3]}
    table |= {("a", "u"): [1.0, 1.0], ("b", "u"): [3.0, 3.0], ("c", "u"): [2.0, 2.0]}
    scores = Scores(results_of(table, minimised=("u",)))
    found = overall_scores(scores)
    assert {m: round(i.mean, 9) for m, i in found.items()} == {"a": 50.0, "b": 50.0, "c": 37.5}
    assert found["c"].low == found["c"].high == pytest.approx(37.5)


def test_overall_interval_holds_its_mean_and_grows_with_the_spread() -> None:
    rng = np.random.default_rng(0)
    wide = {(m, f"t{k}"): list(rng.normal(0.5 + 0.1 * i, 0.05, 10)) for i, m in enumerate("abc") for k in range(4)}
    narrow = {key: list(np.mean(values) + (np.array(values) - np.mean(values)) / 10) for key, values in wide.items()}
    for_wide, for_narrow = (overall_scores(Scores(results_of(table)))["b"] for table in (wide, narrow))
    assert for_wide.low < for_wide.mean < for_wide.high
    assert for_narrow.half_width < for_wide.half_width / 5


def test_only_shared_tasks_count() -> None:
    table = {("a", "t"): [0.2], ("b", "t"): [0.6], ("b", "only"): [0.1]}
    scores = Scores(results_of(table))
    assert scores.shared_tasks() == ["t"]
    assert overall_scores(scores)["b"].mean == 100
    assert overall_scores(Scores(results_of({("a", "t"): [0.2]}))) == {}
    assert mean_ranks(Scores(results_of({("a", "t"): [1.0], ("b", "u"): [1.0]}))) == {}


def test_pairs_are_compared_by_seed() -> None:
    table = {("a", "t"): [0.5, 0.7, 0.9], ("b", "t"): [0.4, 0.6, 0.8], ("a", "u"): [1.0], ("b", "u"): [2.0]}
    comparison = compare(Scores(results_of(table, minimised=("u",))), "a", "b")
    t, u = comparison.differences
    assert (t.task, t.seeds) == ("t", 3)
    assert (t.interval.mean, t.interval.low, t.interval.high) == pytest.approx((0.1, 0.1, 0.1))
    assert u.interval.mean == 1.0
    assert math.isinf(u.interval.high)
    assert [difference.sign for difference in (t, u)] == [1, 0]  # one seed says nothing


def test_ranks_share_ties() -> None:
    table = {("a", "t"): [0.5], ("b", "t"): [0.5], ("c", "t"): [0.1], ("a", "u"): [3], ("b", "u"): [2], ("c", "u"): [1]}
    assert mean_ranks(Scores(results_of(table))) == {"a": 1.25, "b": 1.75, "c": 3.0}
    # Demsar (2006), table 5: q = 2.343 for three models.
    assert critical_difference(3, 20) == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 20)), rel=1e-3)
    assert math.isnan(critical_difference(1, 5))


def test_one_task_has_one_score() -> None:
    results = results_of({("a", "t"): [0.5]})
    results.append(Result("b", "t", 0, 0.1, "mAP", True, {}, {}))
    with pytest.raises(ConfigError, match="judged by top1_acc in one result and by mAP"):
        Scores(results)


def test_a_task_is_won_only_where_the_interval_leaves_out_zero() -> None:
    table = {("a", "won"): [0.5, 0.6, 0.7], ("b", "won"): [0.3, 0.4, 0.51]}
    table |= {("a", "open"): [0.5, 0.6, 0.7], ("b", "open"): [0.4, 0.65, 0.6]}  # a has the better mean
    table |= {("a", "equal"): [0.5, 0.5], ("b", "equal"): [0.5, 0.5]}
    table |= {("a", "error"): [0.3, 0.32, 0.31], ("b", "error"): [0.1, 0.12, 0.1]}
    comparison = compare(Scores(results_of(table, minimised=("error",))), "a", "b")
    assert {d.task: d.sign for d in comparison.differences} == {"won": 1, "open": 0, "equal": 0, "error": -1}
    assert [comparison.count(sign) for sign in (1, 0, -1)] == [1, 2, 1]
