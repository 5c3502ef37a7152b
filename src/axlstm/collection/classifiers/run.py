"""Train a classifier and write it with its report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from axlstm.collection.classifiers.assess import assess_all
from axlstm.collection.classifiers.card import make_card, make_readme
from axlstm.collection.classifiers.classifier import Classifier, load_classifier
from axlstm.collection.classifiers.curves import CURVES, make_curves
from axlstm.collection.classifiers.examples import split_labels
from axlstm.collection.classifiers.report import make_report
from axlstm.collection.classifiers.training import TrainOptions, train
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.new_folders import check_is_new
from axlstm.collection.search.table import WindowTable


def train_classifier(
    collection: CollectionFolder,
    table: WindowTable,
    labels: Sequence[str],
    options: TrainOptions,
    out: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Classifier:
    """Train a classifier, judge it, and write it with its report.

    Args:
        labels: their names; ``wren,robin`` are two.
        out: a new folder; None writes nothing.
        progress: called after each fit with the part of the labels that is done since the last call, 1.0 in all for
            each; an exception of it ends the work, and nothing is written then.

    Raises:
        ConfigError: the folder is there and holds something, or as `axlstm.collection.classifiers.training.train`.
        DataError: as there.
        WriteError: the disk is full or fails.
    """
    if out is not None:
        check_is_new(out)
    trained = train(collection, table, split_labels(collection, labels), options, progress=progress)
    assessments = assess_all(trained, options.seed, progress)
    card = make_card(collection, trained, assessments, options, len(table))
    classifier = replace(trained.classifier, card=card)
    if out is not None:
        report = make_report(collection, table, trained, assessments, card)
        curves = make_curves(table, trained, assessments)
        progress(0.0)  # the last moment at which it can be ended
        files = {"report.html": report, "README.md": make_readme(classifier, card), CURVES: curves}
        classifier.save(out, files)
    return classifier


def open_classifier(given: str | os.PathLike[str] | Classifier) -> Classifier:
    """Return a classifier that is given as such, or as its folder.

    Raises:
        DataError: as `axlstm.collection.classifiers.classifier.load_classifier`.
    """
    return given if isinstance(given, Classifier) else load_classifier(Path(given))
