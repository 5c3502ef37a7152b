"""Estimate what more labels would bring: how good heads are that saw fewer examples, and how that goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.heads import Problem, Setting, fit_present
from axlstm.collection.classifiers.intervals import as_interval, by_groups
from axlstm.collection.classifiers.ranking import rank
from axlstm.evaluate.reporting.interval import Interval
from axlstm.threads import on_all_cores

MORE = 20
"""Further labels whose gain is estimated."""

_SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
_LEAST = 24  # examples: below, an eighth of them is one or two windows
_REPEATS = 4


@dataclass(frozen=True)
class Learning:
    """The average precision of a label by the number of labelled windows.

    Args:
        sizes: numbers of windows that heads were fitted on.
        averages: the average precision of each size, on windows of other groups.
        gain: what `MORE` further labels would add to the average precision.
    """

    sizes: tuple[float, ...]
    averages: tuple[Interval, ...]
    gain: Interval


@dataclass(frozen=True, eq=False)
class Smaller:
    """Scores ``(n, outputs)`` by heads that were fitted on so many examples of other folds, several times."""

    size: float
    scores: tuple[NDArray[np.float64], ...]


def score_with_fewer(
    problem: Problem,
    folds: NDArray[np.int64],
    is_judged: NDArray[np.bool_],
    setting: Setting,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> list[Smaller]:
    """Score judged examples by heads that were fitted on random shares of each class in the other folds.

    All are of one setting, so that they differ in nothing but the number of examples.

    Args:
        progress: called with the share of the heads that is fitted since the last call, 1.0 in all.

    Returns:
        for each share, from small to all; nothing for few examples or a single fold.
    """
    count = int(folds.max()) + 1
    if count < 2 or int(is_judged.sum()) < _LEAST:
        progress(1.0)
        return []
    repeats = {share: 1 if share == 1 else _REPEATS for share in _SHARES}
    tasks = [(share, repeat, fold) for share in _SHARES for repeat in range(repeats[share]) for fold in range(count)]

    def score(task: tuple[float, int, int]) -> tuple[int, NDArray[np.float64]]:
        share, repeat, fold = task
        others = np.flatnonzero(folds != fold)
        rows = _draw(others, problem.classes, is_judged, share, np.random.default_rng([seed, repeat, fold]))
        head = fit_present(setting, problem, rows, seed)
        own = np.full((len(folds), problem.outputs), np.nan)
        chosen = (folds == fold) & is_judged
        if head is not None:
            own[chosen] = head.scores(problem.vectors[chosen])
        return int(is_judged[rows].sum()), own

    found = dict(zip(tasks, on_all_cores(score, tasks, lambda: progress(1 / len(tasks))), strict=True))
    smaller = []
    for share in _SHARES:
        own = [[found[share, repeat, fold] for fold in range(count)] for repeat in range(repeats[share])]
        size = float(np.mean([seen for by_fold in own for seen, _ in by_fold]))
        smaller.append(Smaller(size, tuple(_join([scores for _, scores in by_fold], folds) for by_fold in own)))
    return smaller


def _draw(
    rows: NDArray[np.int64],
    classes: NDArray[np.int64],
    is_judged: NDArray[np.bool_],
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw a share of the judged rows of each class, one at least, and keep the others."""
    drawn = [rows[~is_judged[rows]]]
    for one in np.unique(classes[rows]):
        own = rng.permutation(rows[(classes[rows] == one) & is_judged[rows]])  # the same for each share
        drawn.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(drawn))


def _join(by_fold: Sequence[NDArray[np.float64]], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    joined = np.full_like(by_fold[0], np.nan)
    for fold, scores in enumerate(by_fold):
        joined[folds == fold] = scores[folds == fold]
    return joined


def estimate_gain(
    smaller: Sequence[tuple[float, Sequence[NDArray[np.float64]]]],
    is_yes: NDArray[np.bool_],
    groups: NDArray[np.int64],
    windows: int,
    seed: int = 0,
) -> Learning | None:
    """Estimate what `MORE` further labels would bring.

    The average precision is fitted by a - b / sqrt(windows). Learning curves of classifiers follow such power laws
    (Figueroa et al., "Predicting sample size required for classification performance", 2012); a few noisy points do not
    tell the exponent, so that it is fixed. The interval draws groups anew, and fits each draw.

    Args:
        smaller: numbers of windows, from few to all, and scores ``(n,)`` of heads that were fitted on so many.
        is_yes, groups: ``(n,)``.
        windows: that the head which is kept was fitted on.

    Returns:
        None if there are fewer than three sizes with a yes and a no.
    """
    known = np.all([np.isfinite(scores) for _, several in smaller for scores in several], axis=0)
    if len(smaller) < 3 or not 0 < is_yes[known].sum() < known.sum():
        return None
    sizes = np.array([size for size, _ in smaller])
    features = np.stack([np.ones(len(sizes)), -1 / np.sqrt(sizes)], axis=1)  # (S, 2)
    solve = np.linalg.pinv(features)[1]  # gives b
    factor = 1 / np.sqrt(windows) - 1 / np.sqrt(windows + MORE)

    def statistic(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        by_size = [
            np.mean([rank(is_yes[known], scores[known], weights).average_precision for scores in several], axis=0)
            for _, several in smaller
        ]
        averages = np.stack(by_size, axis=1)  # (B, S)
        gain = np.minimum(factor * (averages @ solve), 1 - averages[:, -1])  # nothing is above 1
        return np.concatenate([averages, gain[:, None]], axis=1)

    found = [as_interval(*ends) for ends in zip(*by_groups(statistic, groups[known], seed), strict=True)]
    return Learning(tuple(sizes.tolist()), tuple(found[:-1]), found[-1])
