"""Score clips as the HEAR benchmark does, and list every score's name and direction.

Definitions follow hear-eval-kit 2021.1.3 (Turian et al., HEAR: Holistic Evaluation of Audio
Representations, 2022). The scores of events over time are in `axlstm.evaluate.scoring.events`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.metrics import average_precision_score, roc_auc_score

from axlstm.errors import ConfigError

Array = NDArray[np.floating] | NDArray[np.integer]


@dataclass(frozen=True)
class Score:
    """A score's name, whether more is better, and whether it judges events instead of clips."""

    name: str
    maximise: bool = True
    is_event: bool = False


def find_score(name: str) -> Score:
    """Find the score of that name; a `ConfigError` lists the names that exist."""
    if name not in SCORES:
        raise ConfigError(f"unknown score {name!r}; the scores are {', '.join(SCORES)}")
    return SCORES[name]


def scene_score(name: str, target: Array, prediction: Array) -> float:
    """Compute one score of clips from targets, 0 or 1, and probabilities, ``(n, K)`` each.

    It is NaN where it is not defined (`aucroc` and `d_prime` with a class that has only one value), and infinite for
    `d_prime` with a perfectly ranked class; `degenerate_classes` names them. `ConfigError` for a score of events.
    """
    if find_score(name).is_event:
        raise ConfigError(f"{name} judges events: use axlstm.evaluate.scoring.events.event_score")
    if target.shape != prediction.shape or target.ndim != 2 or not len(target):
        needed = f"{name} needs targets and predictions of one shape (clips, classes) with at least one clip"
        raise ConfigError(f"{needed}, not {target.shape} and {prediction.shape}")
    return _SCENE[name](target, prediction)


def degenerate_classes(target: Array, labels: list[str], score_names: Sequence[str]) -> list[str]:
    """Name the classes that make a ranking score degenerate: no positive (AP is 0), one value (AUC is NaN)."""
    if not {"mAP", "aucroc", "d_prime"} & set(score_names):
        return []
    positives = target.sum(axis=0)  # (K,)
    absent = [labels[k] for k in np.flatnonzero(positives == 0)]
    constant = [labels[k] for k in np.flatnonzero(positives == len(target))]
    lines = []
    if absent:
        lines.append(f"no clip of class {', '.join(absent)}: its average precision counts 0, AUC and d' are NaN")
    if constant:
        lines.append(f"every clip is of class {', '.join(constant)}: AUC and d' are NaN")
    return lines


def _accuracy(target: Array, prediction: Array, modulo: int | None = None) -> float:
    truth = np.argmax(target, axis=1)  # (n,), the first of equal values; 0 for a clip without label
    guess = np.argmax(prediction, axis=1)  # (n,)
    return float(np.mean(truth % modulo == guess % modulo if modulo else truth == guess))


def _average_precision(target: Array, prediction: Array) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class without positives: `degenerate_classes` tells of it
        return float(average_precision_score(target, prediction, average="macro"))


def _auc_per_class(target: Array, prediction: Array) -> list[float]:
    return [
        float(roc_auc_score(truth, guess)) if 0 < truth.sum() < len(truth) else float("nan")
        for truth, guess in zip(target.T, prediction.T, strict=True)
    ]


def _d_prime(target: Array, prediction: Array) -> float:
    with np.errstate(invalid="ignore"):  # a class all right and one all wrong: inf - inf is NaN
        return float(np.mean(np.sqrt(2.0) * ndtri(np.array(_auc_per_class(target, prediction)))))


_SCENE: dict[str, Callable[[Array, Array], float]] = {
    "top1_acc": _accuracy,
    "pitch_acc": _accuracy,
    "chroma_acc": lambda target, prediction: _accuracy(target, prediction, modulo=12),
    "mAP": _average_precision,
    "aucroc": lambda target, prediction: float(np.mean(_auc_per_class(target, prediction))),
    "d_prime": _d_prime,
}

SCORES = {
    score.name: score
    for score in (
        *map(Score, _SCENE),
        Score("event_onset_200ms_fms", is_event=True),
        Score("event_onset_50ms_fms", is_event=True),
        Score("event_onset_offset_50ms_20perc_fms", is_event=True),
        Score("segment_1s_er", maximise=False, is_event=True),
    )
}
