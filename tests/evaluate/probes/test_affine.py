"""Affine probes against solutions by other means."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn import functional as F

from axlstm.evaluate.probes.affine import discriminant, logistic_regression


@dataclass
class Rows:
    target: np.ndarray


@dataclass
class Made:
    """Stands for a part of a task."""

    values: torch.Tensor
    rows: Rows

    def embeddings(self, start=0, stop=None):
        return self.values[start:stop]


def made(rows, size, labels, seed, one_class=True, absent=()):
    rng = np.random.default_rng(seed)
    if one_class:
        target = np.eye(labels, dtype=np.uint8)[rng.choice([k for k in range(labels) if k not in absent], rows)]
    else:
        target = (rng.random((rows, labels)) < 0.4).astype(np.uint8)
        target[:, list(absent)] = 0
    centres = np.random.default_rng(99).normal(size=(labels, size))
    values = target @ centres + rng.normal(size=(rows, size))
    return Made(torch.from_numpy(values).float(), Rows(target))


@pytest.mark.parametrize("rows", [200, 12])  # fewer than dimensions too
def test_logistic_regression_is_the_minimum_of_its_loss(rows):
    train, asked, penalty = made(rows, 20, 3, 0), made(50, 20, 3, 1), 0.1
    (logits,) = logistic_regression([penalty], train, asked, True)
    x, y = train.values.double(), torch.from_numpy(train.rows.target.argmax(1))
    weight, bias = torch.zeros(3, 20, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    values = [weight.requires_grad_(), bias.requires_grad_()]
    optimiser = torch.optim.LBFGS(values, max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = F.cross_entropy(x @ weight.T + bias, y) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    expected = torch.log_softmax(asked.values.double() @ weight.T + bias, dim=1).detach()
    assert torch.allclose(torch.log_softmax(logits.double(), dim=1), expected, atol=2e-2)


def test_a_discriminant_is_that_of_scikit_learn():
    train, asked = made(300, 6, 3, 0), made(50, 6, 3, 1)
    (logits,) = discriminant([0.4], train, asked, True)
    x, y = train.values.double().numpy(), train.rows.target.argmax(1)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.4)
    means = np.stack([x[y == k].mean(0) for k in range(3)])
    inside = x - means[y]
    scatter = inside.T @ inside / len(x)
    weight = np.linalg.solve(0.6 * scatter + 0.4 * np.trace(scatter) / 6 * np.eye(6), means.T)
    by_hand = (
        asked.values.double().numpy() @ weight
        - 0.5 * np.sum(means.T * weight, axis=0)
        + np.log(np.mean(np.eye(3)[y], 0))
    )
    assert np.allclose(logits - logits[:, :1], by_hand - by_hand[:, :1], atol=1e-3)
    agreed = logits.argmax(1).numpy() == model.fit(x, y).predict(asked.values.double().numpy())
    assert agreed.mean() > 0.95  # it shrinks the covariance of each class, of standardised values


@pytest.mark.parametrize("solve", [logistic_regression, discriminant])
@pytest.mark.parametrize("rows", [200, 30])
def test_labels_that_come_together(solve, rows):
    train, asked = made(rows, 40, 4, 0, one_class=False), made(100, 40, 4, 1, one_class=False)
    logits = solve([0.5, 0.1], train, asked, False)
    assert logits.shape == (2, 100, 4)
    right = ((logits > 0).numpy() == asked.rows.target).mean(axis=(1, 2))
    assert (right > 0.8).all()


@pytest.mark.parametrize("solve", [logistic_regression, discriminant])
def test_classes_without_examples_are_never_chosen(solve):
    for one_class in (True, False):
        train, asked = made(60, 8, 4, 0, one_class, absent=(2,)), made(40, 8, 4, 1, one_class)
        (logits,) = solve([0.3], train, asked, one_class)
        assert torch.isfinite(logits).all()
        assert (logits[:, 2] < (logits.max(dim=1).values if one_class else 0)).all()
    alone = made(20, 8, 3, 0, absent=(0, 2))
    (logits,) = solve([0.3], alone, made(10, 8, 3, 1), True)
    assert (logits.argmax(dim=1) == 1).all()


def test_rows_that_are_all_the_same_give_the_shares_of_the_classes():
    train = made(30, 5, 3, 0)
    train.values[:] = 0
    for solve in (logistic_regression, discriminant):
        (logits,) = solve([0.3], train, train, True)
        shares = torch.from_numpy(train.rows.target.mean(axis=0)).float()
        assert torch.allclose(torch.softmax(logits, dim=1), shares.expand(30, 3), atol=1e-3)
