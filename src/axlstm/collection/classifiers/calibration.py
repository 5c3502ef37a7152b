"""Turn scores into probabilities, and choose the probability from which on a label counts as heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import sigmoid, softmax
from axlstm.collection.classifiers.ranking import rank
from axlstm.errors import ConfigError

LEAST = 5
"""Windows of either kind that a calibration needs, and that must lie above a threshold for a precision to be told."""

ABSENT = -30.0
"""The score of a class that was not there when a head was trained."""

_STEPS = 100
_MOST_SLOPE = 1e4  # of scores that are not all the same
_TEMPERATURES = np.geomspace(1e-3, 1e3, 241)  # inverse ones, each 6 % above the one before


@dataclass(frozen=True, eq=False)
class Calibration:
    """Probabilities of scores: a sigmoid, or of several classes the softmax, of slope * score + offset.

    Args:
        out_of_fold: probabilities of the windows that it was fitted on ``(n, outputs)``, those of each fold by a
            calibration of the other folds; NaN where there is no score.
        note: why it is not the usual one; empty if it is.
    """

    slope: float
    offset: float
    out_of_fold: NDArray[np.float64]
    note: str = ""


def calibrate_label(scores: NDArray[np.float64], is_yes: NDArray[np.bool_], folds: NDArray[np.int64]) -> Calibration:
    """Calibrate the scores of a label by a sigmoid (Platt, "Probabilistic outputs for support vector machines", 1999).

    Args:
        scores: out of fold ``(n,)``; NaN where there is none.
        is_yes, folds: ``(n,)``.
    """
    known = np.isfinite(scores)
    least = min(int((is_yes & known).sum()), int((~is_yes & known).sum()))
    if least < LEAST:
        note = f"not calibrated: it takes {LEAST} tested windows of yes and of no, and of one there are only {least}"
        return Calibration(1.0, 0.0, sigmoid(scores)[:, None], note)
    slope, offset = fit_sigmoid(scores[known], is_yes[known])
    if not 0 < slope < _MOST_SLOPE:
        note = "not calibrated: out of fold, the scores of yes are no higher than those of no"
        return Calibration(1.0, 0.0, sigmoid(scores)[:, None], note)
    out_of_fold = np.full(len(scores), np.nan)
    for fold in np.unique(folds[known]):
        own, others = known & (folds == fold), known & (folds != fold)
        by_others = fit_sigmoid(scores[others], is_yes[others])
        if not 0 < by_others[0] < _MOST_SLOPE:  # the others alone say nothing, or turn the order round
            by_others = 1.0, 0.0
        out_of_fold[own] = sigmoid(by_others[0] * scores[own] + by_others[1])
    return Calibration(slope, offset, out_of_fold[:, None])


def fit_sigmoid(scores: NDArray[np.float64], is_yes: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit slope and offset by Newton's method, with Platt's targets, which lie off 0 and 1 (Lin, Lin, Weng, 2007)."""
    yes, no = int(is_yes.sum()), int((~is_yes).sum())
    targets = np.where(is_yes, (yes + 1) / (yes + 2), 1 / (no + 2))
    middle, spread = scores.mean(), scores.std() or 1.0
    features = np.stack([(scores - middle) / spread, np.ones(len(scores))], axis=1)  # (n, 2)
    values = np.array([0.0, np.log((yes + 1) / (no + 1))])

    def loss(values: NDArray[np.float64]) -> float:
        z = features @ values
        return float((np.logaddexp(0, z) - targets * z).sum())

    for _ in range(_STEPS):
        shares = sigmoid(features @ values)
        gradient = features.T @ (shares - targets)
        curvature = (features * (shares * (1 - shares))[:, None]).T @ features + 1e-9 * np.eye(2)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while size > 1e-6 and loss(values - size * step) > loss(values):
            size /= 2
        values = values - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    return float(values[0] / spread), float(values[1] - values[0] * middle / spread)


def calibrate_classes(scores: NDArray[np.float64], classes: NDArray[np.int64], folds: NDArray[np.int64]) -> Calibration:
    """Calibrate the scores of classes by one slope for all.

    This is temperature scaling (Guo et al., "On calibration of modern neural networks", 2017). Windows of a class that
    was not there when they were scored say nothing about the slope.

    Args:
        scores: out of fold ``(n, C)``; NaN where there is none, and `ABSENT` for a class that was not there.
        classes, folds: ``(n,)``.
    """
    known = np.isfinite(scores).all(axis=1)
    is_fair = known & (scores[np.arange(len(scores)), classes] > ABSENT)
    counts = np.bincount(classes[is_fair], minlength=scores.shape[1])
    if is_fair.sum() < LEAST or counts[counts > 0].min() < LEAST or (counts > 0).sum() < 2:
        note = f"not calibrated: classes have fewer than {LEAST} windows with a score out of fold"
        return Calibration(1.0, 0.0, softmax(scores, False), note)
    out_of_fold = np.full(scores.shape, np.nan)
    for fold in np.unique(folds[known]):
        own, others = known & (folds == fold), is_fair & (folds != fold)
        slope = _fit_temperature(scores[others], classes[others]) if others.any() else 1.0
        out_of_fold[own] = softmax(slope * scores[own], False)
    slope = _fit_temperature(scores[is_fair], classes[is_fair])
    note = "" if _TEMPERATURES[0] < slope < _TEMPERATURES[-1] else "not calibrated: out of fold, scores say nothing"
    return Calibration(1.0 if note else slope, 0.0, softmax(scores, False) if note else out_of_fold, note)


def _fit_temperature(scores: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Find the slope, on a fine grid, at which the true classes are likeliest."""
    rows = np.arange(len(scores))

    def loss(slope: float) -> float:
        return -float(np.log(np.maximum(softmax(slope * scores, False)[rows, classes], 1e-12)).sum())

    return float(min(_TEMPERATURES, key=loss))


@dataclass(frozen=True)
class Target:
    """The precision or the recall that a threshold is to reach on the labelled windows; neither takes 0.5.

    Raises:
        ConfigError: both, or a share that is none.
    """

    precision: float | None = None
    recall: float | None = None

    def __post_init__(self) -> None:
        if self.precision is not None and self.recall is not None:
            raise ConfigError("a precision and a recall: one threshold cannot be set by both; choose one of them")
        for name in ("precision", "recall"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ConfigError(f"{name}={value!r}: expected a share, above 0 and at most 1")


def choose_threshold(
    probabilities: NDArray[np.float64], is_yes: NDArray[np.bool_], target: Target
) -> tuple[float, str]:
    """Choose a threshold, and say why it is not what was asked for; an empty text if it is.

    A precision is that of the lowest threshold that reaches it, with at least `LEAST` windows at or above it. A recall
    is that of the highest one.

    Args:
        probabilities: out of fold ``(n,)``; NaN where there is none.
        is_yes: ``(n,)``.
    """
    known = np.isfinite(probabilities)
    asked = "precision" if target.precision is not None else "recall"
    if target.precision is None and target.recall is None:
        return 0.5, ""
    if not is_yes[known].any():
        return 0.5, f"a {asked} cannot be told without scores out of fold: the threshold is 0.5"
    ranking = rank(is_yes[known], probabilities[known])
    precision, recall = ranking.precision[0], ranking.recall[0]
    if target.recall is not None:
        return float(ranking.thresholds[np.argmax(recall >= target.recall - 1e-12)]), ""
    assert target.precision is not None
    is_told = ranking.yes[0] + ranking.no[0] >= min(LEAST, known.sum())
    reaching = np.flatnonzero(is_told & (precision >= target.precision - 1e-12))
    if len(reaching):
        return float(ranking.thresholds[reaching[-1]]), ""
    best = int(np.argmax(np.where(is_told, precision, -1)))
    told = f"precision {target.precision:g} is not reached: the best, {precision[best]:.2f}, is taken"
    return float(ranking.thresholds[best]), told


def hear_out_of_fold(
    probabilities: NDArray[np.float64], is_yes: NDArray[np.bool_], folds: NDArray[np.int64], target: Target
) -> NDArray[np.bool_]:
    """Tell which windows are at or above the threshold that the other folds choose ``(n,)``.

    So the precision that a threshold was chosen for is not told of the windows that it was chosen on.

    Args:
        probabilities, is_yes, folds: ``(n,)``, as `choose_threshold` takes them.
    """
    heard = np.zeros(len(folds), dtype=bool)
    for fold in np.unique(folds):
        own = folds == fold
        threshold, _ = choose_threshold(probabilities[~own], is_yes[~own], target)
        heard[own] = probabilities[own] >= threshold
    return heard
