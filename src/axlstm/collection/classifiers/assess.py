"""Judge a classifier by its scores out of fold: curves, intervals, counts at the threshold, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.calibration import Target, hear_out_of_fold
from axlstm.collection.classifiers.intervals import as_interval, by_groups
from axlstm.collection.classifiers.learning import Learning, Smaller, estimate_gain, score_with_fewer
from axlstm.collection.classifiers.ranking import rank
from axlstm.collection.classifiers.training import Outcome, Trained
from axlstm.evaluate.reporting.interval import Interval

GRID = np.linspace(0, 1, 51)
"""Recalls, or shares of false alarms, that curves are given at."""

_MOST_BINS, _LEAST_IN_BIN = 10, 10
_FITS = 0.4  # of the work on a label: heads that saw fewer examples; the rest are intervals
MOST_MISTAKES = 6
"""Of each kind and label, that a report plays."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve over `GRID`: value, and ends of its 95 % interval ``(51,)``, NaN where not known."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Windows of similar probability: their mean probability, the share of them that are a yes, and their number."""

    probability: float
    share: Interval
    windows: int


@dataclass(frozen=True)
class Counts:
    """Judged windows by what they are, and whether their probability reaches the threshold."""

    hits: int
    false_alarms: int
    misses: int
    rejections: int


@dataclass(frozen=True, eq=False)
class Assessment:
    """The quality of a classifier for one label, on windows of groups that its heads have not seen."""

    windows: int
    groups: int
    average_precision: Interval
    area_under_roc: Interval
    precision: Interval
    recall: Interval
    brier: Interval
    counts: Counts
    precision_recall: Curve
    roc: Curve
    bins: tuple[Bin, ...]
    learning: Learning | None


def assess(outcome: Outcome, target: Target, learning: Learning | None, seed: int = 0) -> Assessment | None:
    """Judge scores out of fold; None if there is no yes, or no no, that has one.

    Args:
        target: what thresholds are set by; that of each fold is set on the others.
    """
    known = np.isfinite(outcome.scores)
    scores, probabilities = outcome.scores[known], outcome.probabilities[known]
    is_yes, groups = outcome.is_yes[known], outcome.groups[known]
    if not 0 < is_yes.sum() < len(is_yes):
        return None
    is_heard = hear_out_of_fold(probabilities, is_yes, outcome.folds[known], target)

    def statistic(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        ranking = rank(is_yes, scores, weights)
        weights = np.ones((1, len(scores))) if weights is None else weights
        heard, yes, both = weights @ is_heard, weights @ is_yes, weights @ (is_heard & is_yes)
        brier = weights @ (probabilities - is_yes) ** 2 / weights.sum(axis=1)
        single = [ranking.average_precision, ranking.area_under_roc, _ratio(both, heard), _ratio(both, yes), brier]
        curves = [_at(ranking.recall, ranking.precision), _at(ranking.false_alarms, ranking.recall, last=True)]
        return np.concatenate([np.stack(single, axis=1), *curves], axis=1)

    value, low, high = by_groups(statistic, groups, seed)
    average, area, precision, recall, brier = (
        as_interval(*ends) for ends in zip(value[:5], low[:5], high[:5], strict=True)
    )
    of_recall, of_alarms = slice(5, 5 + len(GRID)), slice(5 + len(GRID), None)
    return Assessment(
        windows=int(known.sum()),
        groups=len(np.unique(groups)),
        average_precision=average,
        area_under_roc=area,
        precision=precision,
        recall=recall,
        brier=brier,
        counts=_count(is_heard, is_yes),
        precision_recall=Curve(value[of_recall], low[of_recall], high[of_recall]),
        roc=Curve(value[of_alarms], low[of_alarms], high[of_alarms]),
        bins=find_bins(probabilities, is_yes, groups, seed),
        learning=learning,
    )


def _count(is_heard: NDArray[np.bool_], is_yes: NDArray[np.bool_]) -> Counts:
    both = int((is_heard & is_yes).sum())
    heard, yes = int(is_heard.sum()), int(is_yes.sum())
    return Counts(both, heard - both, yes - both, len(is_yes) - heard - yes + both)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _at(grown: NDArray[np.float64], values: NDArray[np.float64], last: bool = False) -> NDArray[np.float64]:
    """Read values ``(B, m)`` where what grows along a row ``(B, m)`` reaches the points of `GRID`: ``(B, 51)``.

    Args:
        last: read them where it has not gone beyond the point yet.
    """
    found = np.full((len(grown), len(GRID)), np.nan)
    for row, (x, y) in enumerate(zip(grown, values, strict=True)):
        if np.isnan(x[0]):
            continue
        places = np.searchsorted(x, GRID + 1e-9, side="right") - 1 if last else np.searchsorted(x, GRID - 1e-9)
        found[row] = np.where(places < 0, 0.0, y[np.clip(places, 0, len(y) - 1)])
    return found


def find_bins(
    probabilities: NDArray[np.float64], is_yes: NDArray[np.bool_], groups: NDArray[np.int64], seed: int = 0
) -> tuple[Bin, ...]:
    """Compare probabilities with what they promise, in bins of as many windows each (Gneiting and Raftery, 2007)."""
    count = min(_MOST_BINS, len(is_yes) // _LEAST_IN_BIN)
    if count < 2:
        return ()
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, count)
    member = np.zeros((len(is_yes), count))
    for place, part in enumerate(parts):
        member[part, place] = 1

    def statistic(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        weights = np.ones((1, len(is_yes))) if weights is None else weights
        return _ratio((weights * is_yes) @ member, weights @ member)

    ends = zip(*by_groups(statistic, groups, seed), strict=True)
    return tuple(
        Bin(float(probabilities[part].mean()), as_interval(*found), len(part))
        for part, found in zip(parts, ends, strict=True)
    )


def assess_all(
    trained: Trained, seed: int = 0, progress: Callable[[float], None] = lambda _: None
) -> tuple[Assessment | None, ...]:
    """Judge each label of a classifier; None for those without scores out of fold of a yes and of a no.

    Args:
        progress: called with the part of the labels that is done since the last call, half of it for each; an exception
            of it ends the work.
    """
    fewer: dict[int, list[Smaller]] = {}  # by the problem
    found = []
    labels = len(trained.classifier.labels) / len(trained.solved)  # of a problem

    def fitted(share: float) -> None:
        progress(_FITS * labels * share)

    for place in range(len(trained.classifier.labels)):
        solved, outcome = trained.of_label(place)
        if id(solved) not in fewer:
            judged, setting = solved.examples.is_judged, solved.validated.setting
            fewer[id(solved)] = score_with_fewer(solved.problem, solved.folds, judged, setting, seed, fitted)
        sizes = [
            (one.size, [solved.outcome(place, scores).scores for scores in one.scores]) for one in fewer[id(solved)]
        ]
        windows = int(solved.examples.is_judged.sum())
        learning = estimate_gain(sizes, outcome.is_yes, outcome.groups, windows, seed)
        found.append(assess(outcome, trained.target, learning, seed))
        progress(0.5 - _FITS)
    return tuple(found)


def count_confusions(trained: Trained) -> NDArray[np.int64] | None:
    """Count windows by their class and the most probable one out of fold ``(C, C)``; None for labels by themselves."""
    if trained.classifier.mode == "multilabel":
        return None
    (solved,) = trained.solved
    known = np.isfinite(solved.calibration.out_of_fold).all(axis=1) & solved.examples.is_judged
    counts = np.zeros((solved.problem.count, solved.problem.count), np.int64)
    guesses = solved.calibration.out_of_fold[known].argmax(axis=1)
    np.add.at(counts, (solved.examples.classes[known], guesses), 1)
    return counts


@dataclass(frozen=True)
class Mistake:
    """A window whose probability is on the wrong side of the threshold: its place among the judged windows."""

    index: int
    probability: float
    is_yes: bool


def find_mistakes(outcome: Outcome, threshold: float, most: int = MOST_MISTAKES) -> list[Mistake]:
    """List the worst mistakes: windows that are a no, from the most probable down, then yes from the least one up."""
    known = np.isfinite(outcome.probabilities)
    is_heard = outcome.probabilities >= threshold
    found = []
    for is_yes, sign in ((False, -1.0), (True, 1.0)):
        wrong = np.flatnonzero(known & (outcome.is_yes == is_yes) & (is_heard != is_yes))
        order = wrong[np.argsort(sign * outcome.probabilities[wrong], kind="stable")][:most]
        found += [Mistake(int(index), float(outcome.probabilities[index]), is_yes) for index in order]
    return found
