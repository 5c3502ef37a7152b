"""Fit heads on vectors: logistic regression, discriminant analysis with shrinkage, and a small network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.calibration import ABSENT
from axlstm.collection.classifiers.classifier import Layer, sigmoid, softmax
from axlstm.errors import DataError
from axlstm.options import HeadName

_HIDDEN = 32
_LEAST_SPREAD = 1e-3  # of vectors about the mean of their class
_STEPS, _RATE = 150, 3e-3  # of the network's training


@dataclass(frozen=True)
class Setting:
    """A head, and how strongly it is held back from following its examples.

    Args:
        strength: of "logistic", the standard deviation that scores have before any example is seen (their weights'
            prior is normal); of "lda", the share of the identity in the covariance; of "mlp", the weight decay.
    """

    head: HeadName
    strength: float

    def __str__(self) -> str:
        return f"{self.head} {self.strength:g}"


SETTINGS: dict[HeadName, tuple[Setting, ...]] = {
    "logistic": tuple(Setting("logistic", value) for value in (0.2, 0.6, 2.0, 6.0, 20.0)),
    "lda": tuple(Setting("lda", value) for value in (0.99, 0.9, 0.7, 0.4, 0.1)),
    "mlp": tuple(Setting("mlp", value) for value in (100.0, 10.0, 1.0)),
}
"""The settings that cross-validation chooses from."""

DEFAULTS: dict[HeadName, Setting] = {
    "logistic": Setting("logistic", 2.0),
    "lda": Setting("lda", 0.9),
    "mlp": Setting("mlp", 10.0),
}
"""The setting that is taken unless another one is clearly better."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Examples with their vectors, which are turned so that they have no more values than there are examples.

    Heads that hold back all directions alike give the same scores for turned vectors.

    Args:
        vectors: ``(n, R)`` float64, standardised and turned.
        turn: ``(D, R)``, of orthogonal columns of length 1: standardised vectors ``(n, D)`` times this are turned.
        size: D.
        classes: ``(n,)``, from 0 to ``count`` - 1.
        weights: ``(n,)``.
        outputs: number of scores: 1 for no and yes, or one for each class.
    """

    vectors: NDArray[np.float64]
    turn: NDArray[np.float64]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]
    count: int
    outputs: int

    @property
    def size(self) -> int:
        """Return the number of values of a vector before it was turned."""
        return len(self.turn)


def make_problem(
    standard: NDArray[np.float64],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    count: int,
    outputs: int = 1,
) -> Problem:
    """Turn standardised vectors ``(n, D)`` to their principal axes, as they are, without taking off their mean.

    Raises:
        DataError: all of them are the mean of the collection.
    """
    if len(standard) >= standard.shape[1]:
        values, turn = np.linalg.eigh(standard.T @ standard)  # (D,), (D, D)
    else:
        values, left = np.linalg.eigh(standard @ standard.T)  # (n,), (n, n)
        turn = standard.T @ left / np.sqrt(np.maximum(values, 1e-300))  # (D, n)
    turn = turn[:, values > max(1e-10 * values.max(), 1e-20)]
    if not turn.shape[1]:
        raise DataError("all windows with labels have the same vector, as silence has: label windows that differ")
    return Problem(standard @ turn, turn, classes, weights, count, outputs)


@dataclass(frozen=True, eq=False)
class Head:
    """Affine maps with ReLU between them; the last one gives the scores. Of no and yes, a score is in favour of yes."""

    layers: tuple[Layer, ...]

    def scores(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score vectors ``(n, R)``: ``(n, outputs)``."""
        for layer in self.layers[:-1]:
            vectors = np.maximum(vectors @ layer.weight.T + layer.bias, 0)
        return vectors @ self.layers[-1].weight.T + self.layers[-1].bias

    def turned_back(self, problem: Problem) -> Head:
        """Return the head for vectors that are not turned."""
        first = Layer(self.layers[0].weight @ problem.turn.T, self.layers[0].bias)
        return Head((first, *self.layers[1:]))


def fit(setting: Setting, problem: Problem, rows: NDArray[np.int64], seed: int = 0) -> Head:
    """Fit a head on some examples, which have each class.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    fitted = {"logistic": _logistic, "lda": _discriminant, "mlp": _network}[setting.head]
    return fitted(setting.strength, problem, rows, seed)


def fit_present(setting: Setting, problem: Problem, rows: NDArray[np.int64], seed: int = 0) -> Head | None:
    """Fit a head on examples that may lack classes, whose scores are low then; None if there are fewer than two."""
    present = np.unique(problem.classes[rows])
    if len(present) == problem.count:
        return fit(setting, problem, rows, seed)
    if len(present) < 2:
        return None
    classes = np.searchsorted(present, problem.classes)  # wrong for examples of absent classes, which are not in rows
    few = replace(problem, classes=classes, count=len(present), outputs=len(present))
    *first, last = fit(setting, few, rows, seed).layers
    weight, bias = np.zeros((problem.count, last.weight.shape[1])), np.full(problem.count, ABSENT)
    weight[present], bias[present] = last.weight, last.bias
    return Head((*first, Layer(weight, bias)))


def _logistic(strength: float, problem: Problem, rows: NDArray[np.int64], seed: int) -> Head:
    """Fit logistic regression, of several classes the multinomial one.

    The prior of a weight is normal; its deviation is strength / sqrt(D), since a vector has the length sqrt(D).
    """
    from sklearn.linear_model import LogisticRegression

    del seed  # nothing is drawn
    model = LogisticRegression(C=strength**2 / problem.size, max_iter=1000)
    model.fit(problem.vectors[rows], problem.classes[rows], sample_weight=problem.weights[rows])
    weight, bias = model.coef_, model.intercept_  # one row for two classes, in favour of the second
    if problem.outputs == 2:
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    return Head((Layer(weight, bias),))


def _discriminant(strength: float, problem: Problem, rows: NDArray[np.int64], seed: int) -> Head:
    """Fit linear discriminant analysis with the covariance shrunk to a multiple of the identity (Friedman, 1989)."""
    del seed
    vectors, weights = problem.vectors[rows], problem.weights[rows]
    owned = np.zeros((len(rows), problem.count))
    owned[np.arange(len(rows)), problem.classes[rows]] = weights  # (n, C)
    totals = owned.sum(axis=0)
    means = owned.T @ vectors / totals[:, None]  # (C, R)
    centred = (vectors - means[problem.classes[rows]]) * np.sqrt(weights)[:, None]
    scatter = centred.T @ centred / weights.sum()  # (R, R)
    spread = max(np.trace(scatter) / problem.size, _LEAST_SPREAD)
    scatter *= 1 - strength
    scatter[np.diag_indices_from(scatter)] += strength * spread
    weight = np.linalg.solve(scatter, means.T).T  # (C, R)
    bias = np.log(totals / totals.sum()) - 0.5 * (weight * means).sum(axis=1)
    if problem.outputs == 1:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    return Head((Layer(weight, bias),))


def _network(strength: float, problem: Problem, rows: NDArray[np.int64], seed: int) -> Head:
    """Train a network with one hidden layer on all examples at once.

    The optimiser is Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and Hutter, 2019).
    """
    rng = np.random.default_rng(seed)
    sizes = [problem.vectors.shape[1], _HIDDEN, problem.outputs]
    # A vector has the length sqrt(D), however many values it has after turning.
    scales = [(2 / problem.size) ** 0.5, (1 / _HIDDEN) ** 0.5]
    values: list[NDArray[np.float64]] = []
    for (before, after), scale in zip(pairwise(sizes), scales, strict=True):
        values += [scale * rng.normal(size=(after, before)), np.zeros(after)]
    first, second = [np.zeros_like(value) for value in values], [np.zeros_like(value) for value in values]
    for step in range(1, _STEPS + 1):
        gradients = _gradients(values, problem, rows)
        for value, gradient, mean, square in zip(values, gradients, first, second, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            value *= 1 - _RATE * strength
            value -= _RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return Head((Layer(values[0], values[1]), Layer(values[2], values[3])))


def _gradients(
    values: Sequence[NDArray[np.float64]], problem: Problem, rows: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Compute the gradient of the mean cross-entropy by weights and biases, in the order of ``values``."""
    vectors, classes, weights = problem.vectors[rows], problem.classes[rows], problem.weights[rows]
    hidden = np.maximum(vectors @ values[0].T + values[1], 0)  # (n, H)
    scores = hidden @ values[2].T + values[3]  # (n, outputs)
    if problem.outputs == 1:
        errors = sigmoid(scores) - classes[:, None]
    else:
        errors = softmax(scores, False) - np.eye(problem.count)[classes]
    errors *= (weights / weights.sum())[:, None]
    back = (errors @ values[2]) * (hidden > 0)  # (n, H)
    return [back.T @ vectors, back.sum(axis=0), errors.T @ hidden, errors.sum(axis=0)]
