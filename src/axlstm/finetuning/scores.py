"""Judge what a model says of clips: scores with intervals over groups, and a calibration of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from axlstm.collection.classifiers.classifier import sigmoid, softmax
from axlstm.collection.classifiers.intervals import as_interval, by_groups
from axlstm.collection.classifiers.ranking import rank
from axlstm.errors import ConfigError
from axlstm.evaluate.reporting.interval import Interval
from axlstm.options import TaskKind

Array = NDArray[np.float64]
Weighted = Callable[[Array | None], Array]
"""A score for each weighting of clips: ``(B, n)`` to ``(B, 1)``; of None, where each counts once, ``(1, 1)``."""

USUAL: dict[TaskKind, tuple[str, ...]] = {
    "multiclass": ("top1_acc", "mAP", "aucroc"),
    "multilabel": ("mAP", "aucroc"),
    "events": ("event_onset_200ms_fms", "segment_1s_er"),
    "regression": ("r2", "correlation"),
}
"""The scores that are told; the first one chooses the model."""

_OF_CLASSES = ("top1_acc", "pitch_acc", "chroma_acc")
_OF_LABELS = ("mAP", "aucroc", "d_prime")


@dataclass(frozen=True, eq=False)
class Judged:
    """The answers of a model for clips, and the truth about them.

    Args:
        scores: before calibration ``(n, K)``.
        targets: ``(n, K)``, NaN where nothing is known; of a regression, scaled as the scores are.
        groups: number of each clip's group ``(n,)``.
    """

    kind: TaskKind
    scores: Array
    targets: Array
    groups: NDArray[np.int64]

    def probabilities(self, slope: Array | float = 1.0, offset: Array | float = 0.0) -> Array:
        """Return probabilities of calibrated scores; of a regression, the scores."""
        values = slope * self.scores + offset
        if self.kind == "regression":
            return values
        return softmax(values, False) if self.kind == "multiclass" else sigmoid(values)


def score_names(kind: TaskKind, chosen: str = "") -> tuple[str, ...]:
    """Return the scores of a kind, with the one that chooses first.

    Raises:
        ConfigError: a score that does not judge this kind; those that do are listed.
    """
    known = {
        "multiclass": (*_OF_CLASSES, *_OF_LABELS),
        "multilabel": _OF_LABELS,
        "events": (
            "event_onset_200ms_fms",
            "event_onset_50ms_fms",
            "event_onset_offset_50ms_20perc_fms",
            "segment_1s_er",
        ),
        "regression": ("r2", "correlation"),
    }[kind]
    if not chosen:
        return USUAL[kind]
    if chosen not in known:
        raise ConfigError(f"stopping.score={chosen!r}: expected one of {', '.join(known)} for {kind}")
    return (chosen, *(name for name in USUAL[kind] if name != chosen))


def score(name: str, judged: Judged) -> Interval:
    """Compute a score of clips with its 95 % interval over groups; NaN where it is not defined."""
    value, low, high = by_groups(weighted_score(name, judged), judged.groups)
    return as_interval(float(value[0]), float(low[0]), float(high[0]))


def difference(name: str, one: Judged, other: Judged) -> Interval:
    """Compute how much higher a score is for one model than for another on the same clips, with its interval."""
    of_one, of_other = weighted_score(name, one), weighted_score(name, other)
    value, low, high = by_groups(lambda weights: of_one(weights) - of_other(weights), one.groups)
    return as_interval(float(value[0]), float(low[0]), float(high[0]))


def weighted_score(name: str, judged: Judged) -> Weighted:
    """Return a score as a function of weights of clips."""
    if name in _OF_CLASSES:
        modulo = 12 if name == "chroma_acc" else judged.targets.shape[1]
        hit = (judged.targets.argmax(axis=1) % modulo == judged.scores.argmax(axis=1) % modulo).astype(np.float64)
        return lambda weights: _mean(hit, weights)
    if name in ("r2", "correlation"):
        return lambda weights: _agreement(name, judged.targets[:, 0], judged.scores[:, 0], weights)
    if name not in _OF_LABELS:
        raise ConfigError(f"{name} is no score of clips")
    probabilities = judged.probabilities()

    def of_labels(weights: Array | None) -> Array:
        each = [
            ranked_label(name, judged.targets[:, label], probabilities[:, label], weights)
            for label in range(judged.targets.shape[1])
        ]
        values = np.stack(each)  # (K, B)
        known = np.isfinite(values)
        means: Array = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        return np.where(known.any(axis=0), means, np.nan)[:, None]

    return of_labels


def ranked_label(name: str, targets: Array, probabilities: Array, weights: Array | None = None) -> Array:
    """Compute the average precision, the area under the ROC curve or d' of one label ``(B,)``; NaN if undefined."""
    known = np.isfinite(targets)
    is_yes = targets[known] > 0.5
    if not is_yes.any() or (is_yes.all() and name != "mAP"):
        return np.full(1 if weights is None else len(weights), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranking = rank(is_yes, probabilities[known], None if weights is None else weights[:, known])
        if name == "mAP":
            return ranking.average_precision
        area = ranking.area_under_roc
        return area if name == "aucroc" else np.sqrt(2.0) * ndtri(area)


def _mean(values: Array, weights: Array | None) -> Array:
    if weights is None:
        return np.array([[values.mean()]])
    means: Array = (weights @ values) / weights.sum(axis=1)
    return means[:, None]


def _agreement(name: str, truth: Array, guess: Array, weights: Array | None) -> Array:
    weights = np.ones((1, len(truth))) if weights is None else weights
    share = weights / weights.sum(axis=1, keepdims=True)  # (B, n)
    off = truth - (share @ truth)[:, None]  # (B, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        if name == "r2":
            out = 1 - (share @ (truth - guess) ** 2) / (share * off**2).sum(axis=1)
        else:
            guessed = guess - (share @ guess)[:, None]
            out = (share * off * guessed).sum(axis=1) / np.sqrt(
                (share * off**2).sum(axis=1) * (share * guessed**2).sum(axis=1)
            )
    return np.asarray(out, np.float64)[:, None]


def group_numbers(groups: Sequence[str]) -> NDArray[np.int64]:
    """Give groups ``(n,)`` numbers."""
    return np.unique(list(groups), return_inverse=True)[1].astype(np.int64)
