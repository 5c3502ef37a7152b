"""Solve affine probes: logistic regression, and linear discriminants with a shrunk covariance."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.evaluate.probes.data import Part

_MOST_ITERATIONS = 300
_CERTAIN = 14.0  # logit of a label that all training rows have, and the negative one of a label that none has
_LEAST_SPREAD = 1e-6  # of standardised embeddings about the mean of their class

Array = NDArray[np.float64]


def logistic_regression(penalties: Sequence[float], train: Part, part: Part, is_multiclass: bool) -> Tensor:
    """Compute logits ``(len(penalties), n, K)`` of ``part`` by logistic regression.

    One multinomial regression where exactly one class is right, else one regression for each label.

    Args:
        penalties: weights of half the squared length of the coefficients, beside the mean loss of a row.
    """
    from sklearn.linear_model import LogisticRegression

    features, asked, target = _read(train, part)
    logits = np.empty((len(penalties), len(asked), target.shape[1]))
    model = LogisticRegression(max_iter=_MOST_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # weak penalties that do not converge; many classes for few rows
        for number, penalty in enumerate(penalties):
            model.set_params(C=1 / (penalty * len(features)))
            logits[number] = (_one_of_classes if is_multiclass else _each_label)(model, features, asked, target)
    return torch.from_numpy(logits).float()


def _one_of_classes(model: object, features: Array, asked: Array, target: NDArray[np.uint8]) -> Array:
    classes = target.argmax(axis=1)
    logits = np.zeros((len(asked), target.shape[1]))
    present = np.unique(classes)
    if len(present) > 1:
        model.fit(features, classes)  # type: ignore[attr-defined]
        logits[:, present] = model.predict_log_proba(asked)  # type: ignore[attr-defined]
    return _without_absent(logits, present)


def _without_absent(logits: Array, present: NDArray[np.int64]) -> Array:
    """Put classes without a training row far below the others."""
    absent = np.setdiff1d(np.arange(logits.shape[1]), present)
    logits[:, absent] = logits[:, present].min(axis=1, keepdims=True) - _CERTAIN
    return logits


def _each_label(model: object, features: Array, asked: Array, target: NDArray[np.uint8]) -> Array:
    logits = np.empty((len(asked), target.shape[1]))
    for label in range(target.shape[1]):
        column = target[:, label]
        if column.min() == column.max():
            logits[:, label] = _CERTAIN if column[0] else -_CERTAIN
        else:
            logits[:, label] = model.fit(features, column).decision_function(asked)  # type: ignore[attr-defined]
    return logits


def discriminant(shrinkages: Sequence[float], train: Part, part: Part, is_multiclass: bool) -> Tensor:
    """Compute logits ``(len(shrinkages), n, K)`` of ``part`` by linear discriminants.

    The covariance is ``(1 - s) S + s tr(S) / D I`` (Friedman, 1989). Where exactly one class is right, S is that of
    rows about the mean of their class. Of labels that may come together it is that about the mean of all, and each
    label has a discriminant between rows with it and rows without.

    Args:
        shrinkages: shares s of the identity, above 0 and at most 1.
    """
    features, asked, target = _read(train, part)
    hot = target.astype(np.float64)  # (N, K)
    counts = hot.sum(axis=0)  # (K,)
    means = hot.T @ features / np.maximum(counts, 1)[:, None]  # (K, D)
    if is_multiclass:
        others, centred = np.zeros_like(means), features - means[target.argmax(axis=1)]
    else:
        others = (features.sum(axis=0) - hot.T @ features) / np.maximum(len(hot) - counts, 1)[:, None]  # (K, D)
        centred = features - features.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred / len(features))  # (D,), (D, D)
    values, asked, means, others = np.maximum(values, 0), asked @ axes, means @ axes, others @ axes
    spread = max(values.sum() / train.embeddings(0, 1).shape[1], _LEAST_SPREAD)
    prior = np.log(np.maximum(counts, 1)) - (0 if is_multiclass else np.log(np.maximum(len(hot) - counts, 1)))
    logits = np.empty((len(shrinkages), len(asked), target.shape[1]))
    for number, share in enumerate(shrinkages):
        weight = (means - others) / ((1 - share) * values + share * spread)  # (K, D)
        logits[number] = asked @ weight.T - 0.5 * (weight * (means + others)).sum(axis=1) + prior
        if is_multiclass:
            _without_absent(logits[number], np.flatnonzero(counts))
        else:
            logits[number][:, counts == 0] = -_CERTAIN
            logits[number][:, counts == len(hot)] = _CERTAIN
    return torch.from_numpy(logits).float()


def _read(train: Part, part: Part) -> tuple[Array, Array, NDArray[np.uint8]]:
    """Read both parts in float64, in the span of the training rows if they are fewer than the dimensions.

    Solutions that hold back all directions alike lie in that span, which is smaller.
    """
    features, asked = (rows.embeddings().numpy().astype(np.float64) for rows in (train, part))
    if len(features) < features.shape[1]:
        basis = np.linalg.qr(features.T)[0]  # (D, N)
        features, asked = features @ basis, asked @ basis
    return features, asked, train.rows.target
