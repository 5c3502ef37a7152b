"""Train a classifier on the labels of a collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.calibration import (
    Calibration,
    Target,
    calibrate_classes,
    calibrate_label,
    choose_threshold,
)
from axlstm.collection.classifiers.classifier import Classifier, Layer, softmax
from axlstm.collection.classifiers.examples import (
    BACKGROUND,
    Examples,
    Judged,
    draw_unsaid,
    examples_of_classes,
    examples_of_label,
    find_judged,
)
from axlstm.collection.classifiers.folds import Groups, find_groups, make_folds
from axlstm.collection.classifiers.heads import Head, Problem, fit, make_problem
from axlstm.collection.classifiers.joining import bound_layers, stack_heads, without_background
from axlstm.collection.classifiers.selection import Validated, cross_validate
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError
from axlstm.options import ClassifierMode, GroupName, HeadChoice, check_choice

MOST_WEAK = 20_000
_VALIDATION = 0.9  # of the work on a problem; the rest is the head that is kept


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training.

    Args:
        mode: "multilabel" trains each label by its own yes and no; "multiclass" takes windows to have one label.
        group: what is kept together in cross-validation; None is chosen, see `axlstm.collection.classifiers.folds`.
        head: the kind of classifier; "auto" chooses by cross-validated average precision.
        weak_negatives: how many unlabelled windows count as a no, with a low weight.
        target: what thresholds are set by.
        seed: of all that is drawn.

    Raises:
        ConfigError: a choice that does not exist, or a number out of range.
    """

    mode: ClassifierMode = "multilabel"
    group: GroupName | None = None
    head: HeadChoice = "logistic"
    weak_negatives: int = 0
    target: Target = field(default_factory=Target)
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, ClassifierMode)
        check_choice("head", self.head, HeadChoice)
        if not 0 <= self.weak_negatives <= MOST_WEAK:
            raise ConfigError(f"weak_negatives={self.weak_negatives}: expected 0 to {MOST_WEAK}")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: expected 0 or more")


@dataclass(frozen=True, eq=False)
class Outcome:
    """The judged windows of a label: scores and probabilities out of fold, yes or no, groups and folds.

    All ``(n,)``; scores are those that the order is judged by.
    """

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    is_yes: NDArray[np.bool_]
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Solved:
    """The solution of one problem: a label, or all classes.

    Args:
        problem: its examples, turned.
        folds, groups: of each example ``(n,)``.
        head: for standardised vectors that are not turned.
    """

    examples: Examples
    problem: Problem
    folds: NDArray[np.int64]
    groups: NDArray[np.int64]
    validated: Validated
    calibration: Calibration
    head: Head

    def outcome(self, label: int, scores: NDArray[np.float64] | None = None) -> Outcome:
        """Return what is known out of fold about a label: one of the classes, or the only one there is.

        Args:
            scores: of other heads ``(n, outputs)``, in place of those out of fold.
        """
        judged, is_label = self.examples.is_judged, self.problem.outputs == 1
        scores = (self.validated.scores if scores is None else scores)[judged]
        column = 0 if is_label else label
        return Outcome(
            scores=scores[:, 0] if is_label else softmax(scores, False)[:, column],
            probabilities=self.calibration.out_of_fold[judged, column],
            is_yes=self.examples.classes[judged] == (1 if is_label else column),
            groups=self.groups[judged],
            folds=self.folds[judged],
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """A classifier and what it was trained on; its card is empty.

    Args:
        solved: of each label, or one for all classes.
        notes: what was left out or is not as it should be.
    """

    classifier: Classifier
    judged: Judged
    groups: Groups
    solved: tuple[Solved, ...]
    weak: int
    target: Target
    notes: tuple[str, ...]

    def of_label(self, label: int) -> tuple[Solved, Outcome]:
        """Return the problem that a label is part of, and what is known out of fold about it."""
        solved = self.solved[label if self.classifier.mode == "multilabel" else 0]
        return solved, solved.outcome(label)


def train(
    collection: CollectionFolder,
    table: WindowTable,
    labels: Sequence[str],
    options: TrainOptions | None = None,
    validate: bool = True,
    progress: Callable[[float], None] = lambda _: None,
) -> Trained:
    """Train a classifier on what labels say about the windows of an encoder.

    Args:
        validate: False takes the default shrinkage and no calibration, which is much faster: nothing tells how good the
            classifier is then.
        progress: called with the part of the labels that is done since the last call, half of it for each; an exception
            of it ends the work.

    Raises:
        ConfigError: groups that recordings do not have.
        DataError: a label that is not there, or without a yes or a no.
        ModuleNotFoundError: scikit-learn is not installed.
    """
    options = options or TrainOptions()
    judged = find_judged(collection, table, labels)
    is_whole = _is_finite(table, judged.rows)
    notes = []
    if not is_whole.all():
        notes.append(f"{(~is_whole).sum()} windows left out whose vectors hold values that are no numbers")
        judged = judged.cut(is_whole)
    weak = draw_unsaid(table, judged, options.weak_negatives, options.seed)
    weak = weak[_is_finite(table, weak)]
    if len(weak) < options.weak_negatives:
        notes.append(f"{len(weak)} unlabelled windows are there to count as a no, of {options.weak_negatives}")
    groups = find_groups(collection, table, judged, options.group)
    if options.mode == "multilabel":
        problems = [examples_of_label(judged, column, weak) for column in range(len(labels))]
    else:
        examples, told = examples_of_classes(judged, weak)
        problems, notes = [examples], [*notes, *told]
    share = len(labels) / len(problems) / 2

    def advance(part: float) -> None:
        progress(share * part)

    solved = [_solve(table, groups, examples, options, validate, advance) for examples in problems]
    classifier, told = _assemble(table, labels, solved, options)
    few = [line for one in solved for line in _few(one, groups)]
    return Trained(classifier, judged, groups, tuple(solved), len(weak), options.target, (*notes, *few, *told))


def _is_finite(table: WindowTable, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.all(np.isfinite(table.take_vectors(rows)), axis=1)
    return found


def _solve(
    table: WindowTable,
    groups: Groups,
    examples: Examples,
    options: TrainOptions,
    validate: bool,
    progress: Callable[[float], None],
) -> Solved:
    standard = table.statistics.standardise(table.take_vectors(examples.rows))  # (n, D)
    count = len(examples.names)
    outputs = 1 if options.mode == "multilabel" else count
    problem = make_problem(standard, examples.classes, examples.weights, count, outputs)
    own, judged = groups.of(table, examples.rows), examples.is_judged
    folds = np.zeros(len(own), np.int64)
    if validate:
        folds[judged] = make_folds(examples.classes[judged], own[judged], problem.count, options.seed)
        by_group = dict(zip(own[judged].tolist(), folds[judged].tolist(), strict=True))
        folds[~judged] = [by_group.get(group, -1) for group in own[~judged].tolist()]
    validated = cross_validate(
        problem, folds, judged, options.head, options.seed, lambda part: progress(_VALIDATION * part)
    )
    if problem.outputs == 1:
        calibration = calibrate_label(validated.scores[:, 0], examples.classes == 1, folds)
    else:
        calibration = calibrate_classes(validated.scores, examples.classes, folds)
    head = fit(validated.setting, problem, np.arange(len(own)), options.seed).turned_back(problem)
    progress(1 - _VALIDATION)
    return Solved(examples, problem, folds, own, validated, calibration, head)


def _few(solved: Solved, groups: Groups) -> list[str]:
    """Say which classes are in too few groups to be judged."""
    told, judged = [], solved.examples.is_judged
    classes, own = solved.examples.classes[judged], solved.groups[judged]
    is_label = solved.problem.outputs == 1
    for place, name in enumerate(solved.examples.names):
        present = np.unique(own[classes == place])
        if len(present) > 1:
            continue
        label, kind = (solved.examples.names[1], name if name == "no" else "yes") if is_label else (name, "window")
        if len(present):
            told.append(
                f"{label}: every {kind} is of one {groups.kind}, {groups.names[present[0]]}: nothing says how well it "
                f"is told elsewhere; label another {groups.kind}"
            )
        else:
            told.append(
                f"{label}: no window is a no but unlabelled ones: nothing says how well it is told; say no to some"
            )
    return told


def _assemble(
    table: WindowTable, labels: Sequence[str], solved: Sequence[Solved], options: TrainOptions
) -> tuple[Classifier, list[str]]:
    """Put heads together to one classifier, and say what its thresholds and calibrations are not."""
    is_multilabel = options.mode == "multilabel"
    background = not is_multilabel and solved[0].examples.names[-1] == BACKGROUND
    if is_multilabel:
        layers, calibrations = stack_heads([one.head for one in solved]), [one.calibration for one in solved]
        told = [f"{label}: {one.note}" for label, one in zip(labels, calibrations, strict=True) if one.note]
    else:
        layers = without_background(solved[0].head) if background else solved[0].head.layers
        calibrations, note = [solved[0].calibration] * len(labels), solved[0].calibration.note
        told = [note] if note else []
    layers, slope = bound_layers(layers, np.array([one.slope for one in calibrations]))
    thresholds = []
    for place, label in enumerate(labels):
        outcome = solved[place if is_multilabel else 0].outcome(place)
        threshold, note = choose_threshold(outcome.probabilities, outcome.is_yes, options.target)
        thresholds.append(threshold)
        told += [f"{label}: {note}"] if note else []
    statistics = table.statistics
    classifier = Classifier(
        labels=tuple(labels),
        mode=options.mode,
        encoder=replace(table.entry, id=0),
        mean=statistics.mean.astype(np.float32),
        deviation=statistics.deviation.astype(np.float32),
        layers=tuple(Layer(one.weight.astype(np.float32), one.bias.astype(np.float32)) for one in layers),
        slope=slope,
        offset=np.array([one.offset for one in calibrations]),
        thresholds=np.array(thresholds),
        background=background,
    )
    return classifier, told
