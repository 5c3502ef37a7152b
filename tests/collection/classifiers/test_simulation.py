"""Simulated labelling spends its budgets on groups that are not held out, and is the same again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from axlstm.collection.collection import Collection
from benchmarks.suggest import WAYS, compare_ways, hide, hold_out, simulate
from tests.collection.classifiers.made import label_birds, make_birds


@pytest.fixture
def birds(tmp_path: Path) -> Iterator[Collection]:
    with make_birds(tmp_path, recordings=12, sites=6) as made:
        label_birds(made, 12)
        yield made


def test_labels_are_hidden_and_half_of_the_groups_held_out(birds: Collection) -> None:
    hidden = hide(birds, labels=["wren"])
    assert hidden.is_yes[:, 0].reshape(12, 10)[:, 6:].all()
    assert hidden.is_yes.sum() == 48
    is_held = hold_out(hidden, 0, seed=0)
    assert is_held is not None
    assert sorted(np.unique(hidden.groups[is_held])) != sorted(np.unique(hidden.groups[~is_held]))
    assert is_held.sum() == 60
    hidden.groups[:] = 0
    assert hold_out(hidden, 0, seed=0) is None


@pytest.mark.parametrize("way", WAYS)
def test_budgets_are_spent_and_equal_seeds_give_equal_results(birds: Collection, way: str) -> None:
    hidden = hide(birds, labels=["wren"])
    found = simulate(hidden, 0, way, [30, 10, 500], seed=1)
    assert found is not None
    assert [labelled for labelled, _, _ in found] == [10, 30, 60]  # there are 60 windows that are not held out
    assert all(0 < yes < labelled or labelled == 10 for labelled, yes, _ in found)
    assert found[-1][2][0] > 0.8
    assert simulate(hidden, 0, way, [30, 10, 500], seed=1) == found


def test_ways_are_compared_with_random_labelling(birds: Collection) -> None:
    rows = compare_ways(hide(birds), ["search + margin", "random"], [10, 20], seeds=2, heads=["logistic", "lda"])
    assert len(rows) == 8
    assert [row["way"] for row in rows[:4]] == ["random"] * 4
    assert rows[0]["gain"] == [0, 0, 0]
    assert all(0 <= row["average_precision"][0] <= 1 and row["labels"] == 2 for row in rows)
