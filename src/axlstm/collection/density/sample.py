"""Draw windows of a collection to be judged, from bins of their scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.classifiers.suggest import score_table
from axlstm.collection.density.bins import draw_rows, find_bins, find_edges
from axlstm.collection.density.judging import judge_rows
from axlstm.collection.density.plan import DrawnWindow, Plan, shorten, write_plan
from axlstm.collection.detections.of_collection import find_entry
from axlstm.collection.detections.parts import settings_of
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.tables import COLUMNS, NOT_JUDGED
from axlstm.collection.new_folders import check_is_new, new_folder
from axlstm.collection.search.hits import Hit
from axlstm.collection.search.output import write_clips
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError, DamageError
from axlstm.files import write_atomically

WINDOWS, CLIPS = "windows.csv", "clips"


@dataclass(frozen=True)
class DrawSummary:
    """Counts of bins, of drawn windows and of those with a yes or no already; and the clips that are missing."""

    bins: int
    drawn: int
    judged: int
    missing: tuple[str, ...] = ()


def draw_sample(
    collection: CollectionFolder,
    classifier: Classifier,
    out: Path,
    label: str | None = None,
    *,
    bins: int = 8,
    per_bin: int = 25,
    seed: int = 0,
    clips: bool = False,
) -> DrawSummary:
    """Draw windows from bins of scores into a new folder: a table to be judged, and a note of what was drawn.

    The table has them in a drawn order and without their scores, which would colour the judgement.

    Args:
        out: the folder.
        label: of the classifier; None is the only one it has.
        clips: cut the windows into WAV files too.

    Raises:
        ConfigError: a label or number that does not fit, a folder that holds something, or a collection without the
            classifier's windows.
        DataError, DamageError: the collection has no windows, or is damaged.
        WriteError: the disk is full or fails.
    """
    if bins < 2 or per_bin < 2:
        raise ConfigError(f"bins={bins}, per_bin={per_bin}: expected 2 or more")
    check_is_new(out)
    label = _choose_label(classifier, label)
    table = WindowTable(collection, find_entry(collection, classifier))
    scores = score_label(collection, table, classifier, label)
    edges = find_edges(scores, bins, per_bin)
    numbers = find_bins(scores, edges)
    order = _stable_order(table)
    rows = order[draw_rows(numbers[order], per_bin, seed)]
    hits = _describe_rows(collection, table, rows, scores)
    digests = dict(tuple(row) for row in collection.tables.execute("SELECT id, digest FROM recordings"))
    windows = tuple(
        DrawnWindow(hit.path, digests[hit.recording], hit.start_s, hit.end_s, int(numbers[row]))
        for hit, row in zip(hits, rows, strict=True)
    )
    verdicts = judge_rows(collection, table, rows, label)
    fresh = [hit for hit, verdict in zip(hits, verdicts, strict=True) if verdict not in ("yes", "no")]
    known = tuple(sorted({shorten(digests[recording]) for recording in table.recordings.tolist()}))
    plan = Plan(label, settings_of(classifier).fingerprint, seed, tuple(edges.tolist()), windows, known)
    with new_folder(out) as made:
        write_plan(made, plan)
        write_atomically(made / WINDOWS, _table_of(fresh, label).encode())
        missing = write_clips(collection, fresh, made / CLIPS) if clips else []
    return DrawSummary(len(edges) + 1, len(rows), len(rows) - len(fresh), tuple(missing))


def _choose_label(classifier: Classifier, label: str | None) -> str:
    if label is None and len(classifier.labels) == 1:
        return classifier.labels[0]
    if label not in classifier.labels:
        asked = "several labels, and none was named" if label is None else f"no label {label!r}"
        raise ConfigError(f"the classifier has {asked}; name one of {', '.join(classifier.labels)} with --label")
    return label


def score_label(
    collection: CollectionFolder, table: WindowTable, classifier: Classifier, label: str
) -> NDArray[np.float64]:
    """Compute the probability of a label for all windows ``(n,)``.

    Raises:
        DamageError: the vector of a window is damaged.
    """
    scores = score_table(table, classifier, classifier.labels.index(label))
    if not np.isfinite(scores).all():
        raise DamageError(
            f"{collection.folder}: the probability of a window is NaN; axlstm collection verify finds the damage"
        )
    return scores


def _stable_order(table: WindowTable) -> NDArray[np.int64]:
    """Order rows by recording and time, which does not depend on the parts that they are in."""
    recordings = np.repeat(table.recordings, np.diff(table.starts))
    return np.lexsort((table.start_s, recordings))


def _describe_rows(
    collection: CollectionFolder, table: WindowTable, rows: NDArray[np.int64], scores: NDArray[np.float64]
) -> list[Hit]:
    paths = dict(tuple(row) for row in collection.tables.execute("SELECT id, path FROM recordings"))
    recordings = table.recordings[table.span_of(rows)].tolist()
    bounds = zip(*table.take_bounds(rows), strict=True)
    return [
        Hit(paths[recording], float(start_s), float(end_s), float(scores[row]), recording)
        for row, recording, (start_s, end_s) in zip(rows, recordings, bounds, strict=True)
    ]


def _table_of(hits: Sequence[Hit], label: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS[:5])
    for hit in hits:
        writer.writerow([hit.path, f"{hit.start_s:.6f}", f"{hit.end_s:.6f}", label, NOT_JUDGED])
    return out.getvalue()
