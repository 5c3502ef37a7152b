"""Choose a head and its shrinkage by grouped cross-validation, and score every example by heads that never saw it.

The choice is nested. To score a fold, a head is chosen on the other folds alone: each of them is scored by heads of
all settings that saw neither of the two. So the scores of a fold know nothing about it, not even through the choice
(Cawley and Talbot, "On over-fitting in model selection", JMLR 2010). The head that is kept is chosen in the same way
on all folds, and fitted on all examples.

Few examples choose badly. So another setting than the default one must have an average precision that is higher by
0.5 / sqrt(examples); docs/classifiers.md has the trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import softmax
from axlstm.collection.classifiers.heads import DEFAULTS, SETTINGS, Problem, Setting, fit_present
from axlstm.collection.classifiers.ranking import rank
from axlstm.options import HeadChoice
from axlstm.threads import on_all_cores

_MARGIN = 0.5  # over the root of the number of examples

Left = frozenset[int]
"""Folds that a head has not seen."""

Trials = Mapping[tuple[Left, Setting], NDArray[np.float64]]
"""Scores ``(n, outputs)`` of heads by the folds that they have not seen; NaN for examples of other folds."""


@dataclass(frozen=True, eq=False)
class Validated:
    """The setting that was chosen, and scores of examples by heads that saw nothing of their groups.

    Args:
        scores: ``(n, outputs)``; NaN for examples without such a head.
        chosen: for each fold, the setting that its scores are of.
        averages: the mean average precision of each setting on all folds; empty if there was nothing to choose by.
    """

    setting: Setting
    scores: NDArray[np.float64]
    chosen: tuple[Setting, ...]
    averages: Mapping[Setting, float]


def candidates_of(head: HeadChoice) -> tuple[Setting, ...]:
    """List the settings to choose from."""
    return tuple(setting for found in SETTINGS.values() for setting in found) if head == "auto" else SETTINGS[head]


def default_of(head: HeadChoice) -> Setting:
    """Return the setting where there is nothing to choose by."""
    return DEFAULTS["logistic" if head == "auto" else head]


def cross_validate(
    problem: Problem,
    folds: NDArray[np.int64],
    is_judged: NDArray[np.bool_],
    head: HeadChoice,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> Validated:
    """Choose a setting, and score the judged examples out of fold.

    With two folds a head that saw neither has seen nothing: their scores are of the default setting then.

    Args:
        folds: of each example ``(n,)``; -1 for weak negatives of groups without labels, which every head sees.
        is_judged: ``(n,)``; the others are not judged by, and get no scores.
        progress: called with the share of the heads that is fitted since the last call, 1.0 in all.
    """
    candidates, default = candidates_of(head), default_of(head)
    count = int(folds.max()) + 1
    nothing = np.full((len(folds), problem.outputs), np.nan)
    if count < 2:
        progress(1.0)
        return Validated(default, nothing, (), {})
    single = [Left((fold,)) for fold in range(count)]
    pairs = [Left(pair) for pair in combinations(range(count), 2)] if count > 2 else []
    trials = _try(problem, folds, is_judged, [*single, *pairs], candidates, seed, progress)
    chosen = []
    for fold in range(count):
        by_others = [(Left((fold, other)), other) for other in range(count) if other != fold] if pairs else []
        chosen.append(_choose(problem, folds, trials, by_others, candidates, default)[0])
    setting, averages = _choose(
        problem, folds, trials, [(Left((fold,)), fold) for fold in range(count)], candidates, default
    )
    if count == 2:
        setting = default
    scores = nothing.copy()
    for fold, own in enumerate(chosen):
        rows = folds == fold
        scores[rows] = trials[single[fold], own][rows]
    return Validated(setting, scores, tuple(chosen), averages)


def _try(
    problem: Problem,
    folds: NDArray[np.int64],
    is_judged: NDArray[np.bool_],
    left: Sequence[Left],
    candidates: Sequence[Setting],
    seed: int,
    progress: Callable[[float], None],
) -> Trials:
    def score(task: tuple[Left, Setting]) -> NDArray[np.float64]:
        is_left = np.isin(folds, list(task[0]))
        scores = np.full((len(folds), problem.outputs), np.nan)
        head = fit_present(task[1], problem, np.flatnonzero(~is_left), seed)
        if head is not None:
            scores[is_left & is_judged] = head.scores(problem.vectors[is_left & is_judged])
        return scores

    tasks = [(folds_left, setting) for folds_left in left for setting in candidates]
    return dict(zip(tasks, on_all_cores(score, tasks, lambda: progress(1 / len(tasks))), strict=True))


def _choose(
    problem: Problem,
    folds: NDArray[np.int64],
    trials: Trials,
    used: Sequence[tuple[Left, int]],
    candidates: Sequence[Setting],
    default: Setting,
) -> tuple[Setting, dict[Setting, float]]:
    """Choose the setting whose scores order some folds best, each by a head that did not see it, if that is clear.

    Args:
        used: which folds, and the folds that the heads of each have not seen.
    """
    averages: dict[Setting, float] = {}
    count = 0
    for setting in candidates:
        scores = np.full((len(folds), problem.outputs), np.nan)
        for left, fold in used:
            scores[folds == fold] = trials[left, setting][folds == fold]
        averages[setting] = mean_average_precision(scores, problem.classes)
        count = int(np.isfinite(scores).all(axis=1).sum())
    if np.isnan(averages[default]):
        return default, {}
    best = max(candidates, key=lambda setting: averages[setting])
    is_clear = averages[best] > averages[default] + _MARGIN / np.sqrt(count)
    return best if is_clear else default, averages


def mean_average_precision(scores: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Compute the average precision of yes, or its mean over all classes that have a score; NaN if none has.

    Args:
        scores: ``(n, outputs)``; rows of NaN are left out.
        classes: ``(n,)``.
    """
    known = np.isfinite(scores).all(axis=1)
    if not known.any():
        return float("nan")
    values = scores[known] if scores.shape[1] == 1 else softmax(scores[known], False)
    own = classes[known]
    first = 1 if scores.shape[1] == 1 else 0
    found = [
        float(rank(own == column + first, values[:, column]).average_precision[0])
        for column in range(scores.shape[1])
        if 0 < (own == column + first).sum() < len(own)
    ]
    return float(np.mean(found)) if found else float("nan")
