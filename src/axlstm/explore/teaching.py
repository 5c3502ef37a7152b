"""Suggest what to label, train, and give classifiers as the page shows them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.collection.classifiers.classifier import Classifier, load_classifier
from axlstm.collection.classifiers.curves import read_curves
from axlstm.collection.classifiers.examples import split_labels
from axlstm.collection.classifiers.kept import find_kept, list_kept, new_place
from axlstm.collection.collection import Collection
from axlstm.collection.search.table import WindowTable
from axlstm.errors import AxlstmError, ConfigError
from axlstm.explore.desk import Desk
from axlstm.explore.finding import describe_hits, row_of_window
from axlstm.explore.jobs import Job, Reporter

_NO_SCORE = 65_535
_log = logging.getLogger(__name__)


def list_classifiers(collection: Collection) -> list[dict[str, Any]]:
    """List the classifiers that are kept in a collection, the latest last."""
    found = []
    for name, folder in list_kept(collection).items():
        try:
            classifier = load_classifier(folder)
        except AxlstmError as error:
            _log.warning("%s", error)
            found.append({"name": name, "labels": [], "thresholds": [], "why_not": str(error)})
            continue
        found.append({"name": name, **_describe_short(collection, classifier)})
    return found


def _describe_short(collection: Collection, classifier: Classifier) -> dict[str, Any]:
    try:
        encoder, why_not = classifier.entry_in(collection).name, None
    except ConfigError as error:
        encoder, why_not = None, str(error)
    return {
        "labels": list(classifier.labels),
        "thresholds": classifier.thresholds.tolist(),
        "mode": classifier.mode,
        "trained_at": classifier.card.get("trained_at"),
        "encoder": encoder,
        "why_not": why_not,
    }


def suggest(desk: Desk, asked: Mapping[str, Any], known: str | None) -> dict[str, Any]:
    """Suggest windows to label, as `axlstm.collection.collection.Collection.suggest` does."""

    def run(collection: Collection) -> dict[str, Any]:
        table = desk.table(collection, known)
        name = asked["classifier"]
        hits = collection.suggest(
            asked["label"],
            None if name is None else find_kept(collection, name),
            by=asked["by"],
            count=asked["count"],
            encoder=None if name is not None else table.entry.name,
            seed=asked["seed"],
            **asked["filters"],
        )
        return describe_hits(table, hits)

    return desk.search(run)


def start_training(desk: Desk, asked: Mapping[str, Any]) -> Job:
    """Begin to train a classifier, which is kept in the collection.

    Raises:
        ConfigError, DataError: what is asked for cannot be trained.
        InUseError: another job runs.
    """
    with desk.collection() as collection:
        labels = split_labels(collection, asked["labels"])
        encoder = desk.entry(collection).name

    def train(report: Reporter) -> dict[str, Any]:
        with desk.collection() as collection:
            place = new_place(collection, labels)
            options = {name: asked[name] for name in ("mode", "group", "head", "weak_negatives", "precision", "recall")}
            collection.train(
                labels, place, encoder=encoder, seed=asked["seed"], progress=report.counting(len(labels)), **options
            )
        return {"classifier": place.name}

    return desk.jobs.start("train", f"Training {', '.join(labels)}"[:200], train)


def describe_classifier(desk: Desk, collection: Collection, name: str) -> dict[str, Any]:
    """Describe a classifier: its card, its curves, and its judged windows with their rows and probabilities."""
    folder = find_kept(collection, name)
    classifier, curves = load_classifier(folder), read_curves(folder)
    described = {"name": name, "folder": str(folder), **_describe_short(collection, classifier)}
    labels = {} if curves is None else dict(curves["labels"])
    table = desk.table(collection)
    for label, about in labels.items():
        labels[label] = {**about, "windows": _with_rows(table, about.get("windows", []))}
    grid = [] if curves is None else curves["grid"]
    return {**described, "card": dict(classifier.card), "grid": grid, "curves": labels}


def _with_rows(table: WindowTable, windows: list[list[Any]]) -> list[dict[str, Any]]:
    """Add the row of each judged window, None where the table has it no more."""
    found = []
    for recording, start_s, end_s, probability, is_yes in windows:
        row = row_of_window(table, recording, start_s)
        about = {"recording": recording, "start_s": start_s, "end_s": end_s}
        found.append({"row": row, **about, "probability": probability, "is_yes": is_yes})
    return found


def score_windows(desk: Desk, name: str, label: str | None, known: str | None) -> tuple[bytes, str]:
    """Score all windows of the map with a classifier.

    Returns:
        uint16, little-endian, in the order of the rows: 65,534 times the probability, and 65,535 where there is none;
        and the label that was scored: the first one if none is asked for.
    """

    from axlstm.collection.classifiers.suggest import score_table

    def run(collection: Collection) -> tuple[bytes, str]:
        table, classifier = desk.table(collection, known), load_classifier(find_kept(collection, name))
        chosen = label or classifier.labels[0]
        if chosen not in classifier.labels:
            raise ConfigError(f"label {chosen[:80]!r}: not one of {name}, which has {', '.join(classifier.labels)}")
        if classifier.entry_in(collection).id != table.entry.id:
            raise ConfigError(f"{name} scores the windows of another encoder than {table.entry.name}: show those")
        scores = score_table(table, classifier, classifier.labels.index(chosen))
        levels = np.where(np.isfinite(scores), np.round(scores * (_NO_SCORE - 1)), _NO_SCORE)
        return levels.astype("<u2").tobytes(), chosen

    return desk.search(run)


def find_folder(desk: Desk, name: str) -> Path:
    """Return the folder of a classifier of the collection."""
    with desk.collection() as collection:
        return find_kept(collection, name)
