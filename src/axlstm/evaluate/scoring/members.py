"""Score the clips of many probes at once: the vectorised twin of `axlstm.evaluate.scoring.clips`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from axlstm.errors import ConfigError
from axlstm.evaluate.scoring.clips import Array


def member_scores(name: str, target: Array, prediction: Array) -> NDArray[np.float64]:
    """Compute a clip score of every member: target ``(n, K)``, prediction ``(M, n, K)``, result ``(M,)``.

    It equals `scene_score` of each member (tested), `ConfigError` included, without a loop over members or classes.
    """
    if name in ("top1_acc", "pitch_acc", "chroma_acc"):
        modulo = 12 if name == "chroma_acc" else target.shape[1]
        truth = np.argmax(target, axis=1) % modulo  # (n,)
        guess = np.argmax(prediction, axis=2) % modulo  # (M, n)
        return np.mean(guess == truth, axis=1)
    if name == "mAP":
        return _average_precision(target, prediction).mean(axis=1)
    if name == "aucroc":
        return _auc(target, prediction).mean(axis=1)
    if name == "d_prime":
        with np.errstate(invalid="ignore"):  # a class all right and one all wrong: inf - inf is NaN
            return (np.sqrt(2.0) * ndtri(_auc(target, prediction))).mean(axis=1)
    raise ConfigError(f"{name} is not a score of clips")


def _ranked(target: Array, prediction: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Sort targets by falling prediction, and mark where a run of equal predictions ends: ``(M, K, n)`` each.

    A float32 that is not negative keeps its order when its bits are read as an integer, so prediction
    and target fit into one 64-bit key, and a plain sort replaces argsort and gather.
    """
    bits = np.ascontiguousarray(prediction.astype(np.float32).transpose(0, 2, 1)).view(np.int32)  # (M, K, n)
    keys = (bits.astype(np.int64) << 1) | (target.T > 0)  # (M, K, n)
    keys.sort(axis=2)
    keys = keys[:, :, ::-1]
    ends = np.ones(keys.shape, dtype=bool)  # (M, K, n)
    ends[:, :, :-1] = (keys[:, :, 1:] >> 1) != (keys[:, :, :-1] >> 1)
    return (keys & 1).astype(bool), ends


def _average_precision(target: Array, prediction: Array) -> NDArray[np.float64]:
    """Compute step-wise average precision, ``(M, K)``; 0 for a class without positives."""
    positive, ends = _ranked(target, prediction)
    n = len(target)
    true_positives = np.cumsum(positive, axis=2, dtype=np.int32)  # (M, K, n)
    precision = true_positives / np.arange(1, n + 1)  # (M, K, n)
    # Equal predictions share one threshold: all of them count at the end of their run.
    at_ends = np.where(ends, true_positives, 0)
    gained = np.diff(np.maximum.accumulate(at_ends, axis=2), axis=2, prepend=0)
    return (gained * precision).sum(axis=2) / np.maximum(target.sum(axis=0), 1)


def _auc(target: Array, prediction: Array) -> NDArray[np.float64]:
    """Compute the area under the ROC curve by the trapezoid rule, ``(M, K)``; NaN for a class with one value."""
    positive, ends = _ranked(target, prediction)
    n = len(target)
    true_positives = np.cumsum(positive, axis=2, dtype=np.int64)  # (M, K, n)
    false_positives = np.arange(1, n + 1) - true_positives
    tp = np.maximum.accumulate(np.where(ends, true_positives, 0), axis=2)
    fp = np.maximum.accumulate(np.where(ends, false_positives, 0), axis=2)
    tp_before = np.concatenate([np.zeros_like(tp[:, :, :1]), tp[:, :, :-1]], axis=2)
    twice_area = (np.diff(fp, axis=2, prepend=0) * (tp + tp_before)).sum(axis=2)  # (M, K)
    positives = target.sum(axis=0)  # (K,)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((positives > 0) & (positives < n), twice_area / (2.0 * positives * (n - positives)), np.nan)
