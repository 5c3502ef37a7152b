"""What is said of a fold knows nothing about it, neither through heads nor through the choice of their shrinkage."""

from __future__ import annotations

import numpy as np
import pytest

from axlstm.collection.classifiers.heads import DEFAULTS, Problem, make_problem
from axlstm.collection.classifiers.selection import candidates_of, cross_validate
from axlstm.options import HeadChoice


def make(classes: np.ndarray, seed: int = 0, outputs: int = 1) -> Problem:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(int(classes.max()) + 1, 30))
    return make_problem(
        centres[classes] + 1.5 * rng.normal(size=(len(classes), 30)),
        classes,
        np.ones(len(classes)),
        int(classes.max()) + 1,
        outputs,
    )


@pytest.mark.parametrize("head", ["logistic", "lda"])
def test_scores_of_a_fold_do_not_change_with_its_labels(head: HeadChoice) -> None:
    classes, folds = np.arange(60) % 2, np.arange(60) // 2 % 5
    problem, judged = make(classes), np.ones(60, dtype=bool)
    before = cross_validate(problem, folds, judged, head)
    assert np.isfinite(before.scores).all()
    for fold in range(5):
        flipped = np.where(folds == fold, 1 - classes, classes)
        after = cross_validate(
            Problem(problem.vectors, problem.turn, flipped, problem.weights, 2, 1), folds, judged, head
        )
        np.testing.assert_array_equal(after.scores[folds == fold], before.scores[folds == fold])
        assert after.chosen[fold] == before.chosen[fold]


def test_noise_is_told_no_better_than_by_chance() -> None:
    """With many settings to choose from, a choice on all folds would look better than it is."""
    rng = np.random.default_rng(1)
    areas = []
    for seed in range(12):
        classes, folds = np.arange(40) % 2, np.arange(40) // 2 % 5
        problem = make_problem(rng.normal(size=(40, 100)), classes, np.ones(40), 2)
        scores = cross_validate(problem, folds, np.ones(40, dtype=bool), "logistic", seed).scores[:, 0]
        areas.append((scores[classes == 1][:, None] > scores[classes == 0]).mean())
    assert abs(np.mean(areas) - 0.5) < 0.1


def test_two_folds_leave_nothing_to_choose_by() -> None:
    classes, folds = np.arange(20) % 2, np.arange(20) // 10
    found = cross_validate(make(classes), folds, np.ones(20, dtype=bool), "lda")
    assert found.setting == DEFAULTS["lda"]
    assert found.chosen == (DEFAULTS["lda"],) * 2
    assert np.isfinite(found.scores).all()


def test_one_fold_gives_no_scores() -> None:
    found = cross_validate(make(np.arange(10) % 2), np.zeros(10, np.int64), np.ones(10, dtype=bool), "auto")
    assert np.isnan(found.scores).all()
    assert found.setting == DEFAULTS["logistic"]


def test_unlabelled_examples_are_trained_on_and_not_scored() -> None:
    classes = np.concatenate([np.arange(30) % 2, np.zeros(10, np.int64)])
    folds = np.concatenate([np.arange(30) // 2 % 3, np.full(10, -1)])
    judged = np.arange(40) < 30
    found = cross_validate(make(classes), folds, judged, "logistic")
    assert np.isfinite(found.scores[judged]).all()
    assert np.isnan(found.scores[~judged]).all()


def test_classes_are_chosen_among_by_all_heads() -> None:
    classes, folds = np.arange(60) % 3, np.arange(60) // 3 % 4
    found = cross_validate(make(classes, outputs=3), folds, np.ones(60, dtype=bool), "auto")
    assert found.scores.shape == (60, 3)
    assert set(found.averages) == set(candidates_of("auto"))
    assert (found.scores.argmax(axis=1) == classes).mean() > 0.5
