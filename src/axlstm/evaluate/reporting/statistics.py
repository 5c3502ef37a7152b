"""Compare models over tasks and seeds: intervals, the overall score, paired differences and ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from axlstm.errors import ConfigError
from axlstm.evaluate.reporting.interval import Interval
from axlstm.evaluate.reporting.results import Result

BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True)
class Difference:
    """One model minus another on one task, over the seeds that both have; positive is better for the first."""

    task: str
    interval: Interval
    seeds: int

    @property
    def sign(self) -> int:
        """Return 1 if the interval lies above 0, -1 if below, 0 if it contains 0: then neither model is better."""
        return int(self.interval.low > 0) - int(self.interval.high < 0)


@dataclass(frozen=True)
class Comparison:
    """One model against another, on the tasks that both have."""

    first: str
    second: str
    differences: tuple[Difference, ...]

    def count(self, sign: int) -> int:
        """Count the tasks whose difference has a sign."""
        return sum(difference.sign == sign for difference in self.differences)


class Scores:
    """Scores by model, task and seed.

    Models and tasks are in alphabetical order; a model may lack tasks or seeds.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.models = sorted({result.model for result in results})
        self.tasks = sorted({result.task for result in results})
        self.by_seed: dict[tuple[str, str], dict[int, float]] = {}
        self.maximise: dict[str, bool] = {}
        self.score_names: dict[str, str] = {}
        for result in results:
            self.by_seed.setdefault((result.model, result.task), {})[result.seed] = result.score
            name = self.score_names.setdefault(result.task, result.score_name)
            if name != result.score_name:
                names = f"{name} in one result and by {result.score_name} in another"
                raise ConfigError(f"{result.task} is judged by {names}")
            self.maximise[result.task] = result.maximise

    def values(self, model: str, task: str) -> list[float]:
        """List the scores in the order of their seeds; empty where the model lacks the task."""
        return [score for _, score in sorted(self.by_seed.get((model, task), {}).items())]

    def interval(self, model: str, task: str) -> Interval | None:
        """Compute mean and Student-t interval over seeds."""
        values = self.values(model, task)
        return t_interval(values) if values else None

    def shared_tasks(self) -> list[str]:
        """List the tasks that every model has; the overall score and the ranks use these."""
        return [task for task in self.tasks if all(self.values(model, task) for model in self.models)]


def t_interval(values: Sequence[float]) -> Interval:
    """Compute the mean and its 95 % Student-t interval (n - 1 degrees of freedom); unbounded for one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def overall_scores(scores: Scores, seed: int = 0) -> dict[str, Interval]:
    """Compute the overall score s(m) of every model, with a bootstrap interval over seeds.

    s(m) is the mean over the shared tasks of (x - min) / (max - min) * 100, with x a model's mean score, min
    and max taken over all models (Yadav et al., AxLSTMs, 2025). A task where all models are equal counts 50.
    The interval resamples each model's seeds on each task. Empty without shared tasks or with one model.
    """
    tasks = scores.shared_tasks()
    if not tasks or len(scores.models) < 2:
        return {}
    rng = np.random.default_rng(seed)
    signs = np.array([1.0 if scores.maximise[task] else -1.0 for task in tasks])  # (T,)
    cells = [[np.array(scores.values(model, task)) for task in tasks] for model in scores.models]
    means = np.array([[cell.mean() for cell in row] for row in cells])  # (M, T)
    drawn = np.array([[_resampled_means(cell, rng) for cell in row] for row in cells])  # (M, T, draws)
    drawn = np.ascontiguousarray(drawn.transpose(2, 0, 1))  # (draws, M, T)
    point = _normalised(means * signs)  # (M,)
    low, high = np.quantile(_normalised(drawn * signs), [0.025, 0.975], axis=0)  # (M,) each
    return {model: Interval(float(point[m]), float(low[m]), float(high[m])) for m, model in enumerate(scores.models)}


def compare(scores: Scores, first: str, second: str) -> Comparison:
    """Compare two models on the tasks that both have, paired by seed where they share at least two."""
    differences = []
    for task in scores.tasks:
        a, b = (scores.by_seed.get((model, task), {}) for model in (first, second))
        if not a or not b:
            continue
        sign = 1.0 if scores.maximise[task] else -1.0
        seeds = sorted(set(a) & set(b))
        if len(seeds) >= 2:
            interval = t_interval([sign * (a[s] - b[s]) for s in seeds])
        else:
            gap = sign * (float(np.mean(list(a.values()))) - float(np.mean(list(b.values()))))
            interval = Interval(gap, -math.inf, math.inf)
        differences.append(Difference(task, interval, len(seeds)))
    return Comparison(first, second, tuple(differences))


def mean_ranks(scores: Scores) -> dict[str, float]:
    """Compute every model's mean rank over the shared tasks; 1 is the best, and equal models share a rank."""
    ranks = []
    for task in scores.shared_tasks():
        sign = -1.0 if scores.maximise[task] else 1.0
        ranks.append(stats.rankdata([sign * float(np.mean(scores.values(model, task))) for model in scores.models]))
    return dict(zip(scores.models, np.mean(ranks, axis=0).tolist(), strict=True)) if ranks else {}


def critical_difference(models: int, tasks: int) -> float:
    """Compute the distance from which mean ranks differ at 5 % (Nemenyi's test; Demsar, JMLR 2006)."""
    if models < 2 or tasks < 1:
        return math.nan
    quantile = float(stats.studentized_range.ppf(0.95, models, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(models * (models + 1) / (6 * tasks))


def sum_confusions(results: Sequence[Result]) -> Mapping[tuple[str, str], NDArray[np.int64]]:
    """Sum the clips by true (rows) and predicted class over seeds, by model and task; multiclass results only."""
    sums: dict[tuple[str, str], NDArray[np.int64]] = {}
    for result in results:
        if result.run.get("confusion"):
            key, counts = (result.model, result.task), np.array(result.run["confusion"], dtype=np.int64)  # (K, K)
            sums[key] = sums.get(key, 0) + counts
    return sums


def _resampled_means(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return values[rng.integers(len(values), size=(BOOTSTRAP_DRAWS, len(values)))].mean(axis=1)  # (draws,)


def _normalised(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn scores ``(..., M, T)``, more is better, into percentages ``(..., M)``."""
    low, high = means.min(axis=-2, keepdims=True), means.max(axis=-2, keepdims=True)
    spread = np.where(high > low, high - low, 1.0)
    return np.where(high > low, (means - low) / spread, 0.5).mean(axis=-1) * 100
