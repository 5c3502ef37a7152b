"""Heads are what scikit-learn fits on vectors that are not turned, and classes may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from axlstm.collection.classifiers.heads import Problem, Setting, _gradients, fit, fit_present, make_problem
from axlstm.options import HeadName


def make(count: int, size: int, classes: int = 2, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, size))
    own = np.arange(count) % classes
    return centres[own] + rng.normal(size=(count, size)) + 0.5, own


def problem_of(vectors: NDArray[Any], own: NDArray[Any], outputs: int = 1, weights: Any = None) -> Problem:
    weights = np.ones(len(own)) if weights is None else weights
    return make_problem(vectors, own, weights, int(own.max()) + 1, outputs)


def scores_of(setting: Setting, problem: Problem, vectors: NDArray[Any]) -> NDArray[Any]:
    return fit(setting, problem, np.arange(len(problem.classes))).turned_back(problem).scores(vectors)


@pytest.mark.parametrize(("count", "size"), [(20, 50), (60, 10)])
@pytest.mark.parametrize("classes", [2, 3])
def test_turned_vectors_give_the_heads_of_the_others(count: int, size: int, classes: int) -> None:
    vectors, own = make(count, size, classes)
    new, _ = make(7, size, classes, seed=1)
    problem = problem_of(vectors, own, 1 if classes == 2 else classes)
    assert problem.vectors.shape[1] <= min(count, size)
    logistic = LogisticRegression(C=9 / size, tol=1e-8, max_iter=1000).fit(vectors, own)
    expected = logistic.decision_function(new).reshape(7, -1)
    np.testing.assert_allclose(scores_of(Setting("logistic", 3.0), problem, new), expected, atol=2e-2)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(vectors, own)
    expected = lda.decision_function(new).reshape(7, -1)
    np.testing.assert_allclose(scores_of(Setting("lda", 0.3), problem, new), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("head", ["logistic", "lda"])
def test_a_weight_counts_like_so_many_examples(head: HeadName) -> None:
    vectors, own = make(30, 8)
    times = np.random.default_rng(3).integers(1, 4, 30)
    weighted = problem_of(vectors, own, weights=times.astype(float))
    repeated = problem_of(np.repeat(vectors, times, axis=0), np.repeat(own, times))
    found = [scores_of(Setting(head, 0.5), problem, vectors) for problem in (weighted, repeated)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_network_tells_what_no_line_does_and_is_the_same_again(outputs: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 4))
    own = (vectors[:, 0] * vectors[:, 1] > 0).astype(np.int64)
    problem = make_problem(vectors, own, np.ones(300), 2, outputs)
    scores = scores_of(Setting("mlp", 1.0), problem, vectors)
    assert scores.shape == (300, outputs)
    told = scores[:, 0] > 0 if outputs == 1 else scores[:, 1] > scores[:, 0]
    assert (told == own).mean() > 0.85
    np.testing.assert_array_equal(scores, scores_of(Setting("mlp", 1.0), problem, vectors))


@pytest.mark.parametrize("outputs", [1, 3])
def test_gradients_of_the_network_are_those_of_torch(outputs: int) -> None:
    vectors, own = make(20, 6, max(2, outputs))
    problem = problem_of(vectors, own, outputs, np.random.default_rng(0).uniform(0.1, 1, 20))
    rng = np.random.default_rng(1)
    shapes = [(5, problem.vectors.shape[1]), (5,), (outputs, 5), (outputs,)]
    values = [rng.normal(size=shape) for shape in shapes]
    weights = [torch.from_numpy(value).requires_grad_() for value in values]
    hidden = torch.relu(torch.from_numpy(problem.vectors) @ weights[0].T + weights[1])
    scores, classes = hidden @ weights[2].T + weights[3], torch.from_numpy(own)
    if outputs == 1:
        losses = torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], classes.double(), reduction="none")
    else:
        losses = torch.nn.functional.cross_entropy(scores, classes, reduction="none")
    ((losses * torch.from_numpy(problem.weights)).sum() / problem.weights.sum()).backward()
    for weight, gradient in zip(weights, _gradients(values, problem, np.arange(20)), strict=True):
        assert weight.grad is not None
        np.testing.assert_allclose(gradient, weight.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize("head", ["logistic", "lda", "mlp"])
def test_two_classes_have_two_scores_that_differ_as_the_one_of_a_label(head: HeadName) -> None:
    vectors, own = make(40, 6)
    two = scores_of(Setting(head, 0.5), make_problem(vectors, own, np.ones(40), 2, 2), vectors)
    one = scores_of(Setting(head, 0.5), make_problem(vectors, own, np.ones(40), 2, 1), vectors)
    if head != "mlp":
        np.testing.assert_allclose(two[:, 1] - two[:, 0], one[:, 0], rtol=1e-6)
    assert ((two[:, 1] > two[:, 0]) == own).mean() > 0.8


@pytest.mark.parametrize("head", ["logistic", "lda", "mlp"])
def test_a_class_that_is_missing_is_never_the_most_likely(head: HeadName) -> None:
    vectors, own = make(60, 6, 4)
    problem = problem_of(vectors, own, 4)
    for missing in ([1], [1, 2]):
        fitted = fit_present(Setting(head, 0.5), problem, np.flatnonzero(~np.isin(own, missing)))
        assert fitted is not None
        assert not np.isin(fitted.scores(problem.vectors).argmax(axis=1), missing).any()
    assert fit_present(Setting(head, 0.5), problem, np.flatnonzero(own == 0)) is None


def test_examples_that_are_all_alike_give_finite_heads() -> None:
    vectors = np.repeat(np.eye(2, 5), 4, axis=0)
    own = np.repeat([0, 1], 4)
    for setting in (Setting("logistic", 20.0), Setting("lda", 0.1), Setting("mlp", 1.0)):
        scores = scores_of(setting, problem_of(vectors, own), vectors)[:, 0]
        assert np.isfinite(scores).all()
        assert scores[own == 1].min() > scores[own == 0].max()
