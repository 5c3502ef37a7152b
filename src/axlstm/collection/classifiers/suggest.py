"""Suggest which windows to label next, so that few labels bring much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.classifiers.examples import NO, YES, find_judged
from axlstm.collection.classifiers.training import TrainOptions, train
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.judgements import in_force
from axlstm.collection.labels.table import count_labels, find_statements
from axlstm.collection.search.filters import Filters, choose_windows
from axlstm.collection.search.hits import Hits
from axlstm.collection.search.run import MOST_HITS, describe_matches, note_query
from axlstm.collection.search.searcher import Match, Searcher
from axlstm.collection.search.table import Run, WindowTable
from axlstm.collection.search.thin import Spacing, choose_best, rule_out, rule_out_stretch
from axlstm.errors import ConfigError, DataError
from axlstm.options import SuggestBy, check_choice
from axlstm.threads import on_all_cores

STAND_INS = 100
"""Unlabelled windows that count as a weak no where nothing is a no yet."""

_CHUNK_ROWS = 1 << 14  # of a thread's task
_POOL = 10  # uncertain windows, for each that is asked for, that diverse ones are chosen from
_LEAST_POOL, _MOST_POOL = 200, 20_000
_BLOCK_ROWS = 1024  # of judged windows that a pool is compared with at once
_LEAST_SHARE = 1e-15  # probabilities nearer to 0 or 1 are alike


def suggest(
    searcher: Searcher,
    label: str,
    classifier: Classifier | None = None,
    *,
    by: SuggestBy = "margin",
    count: int = 20,
    filters: Filters | None = None,
    spacing: Spacing | None = None,
    seed: int = 0,
) -> Hits:
    """Find windows whose label would tell most. The score of a hit is its probability.

    Windows that overlap a stretch which the label says something about are left out.

    Args:
        searcher: of the encoder's windows.
        classifier: of this label; None trains one on the labels that are there.
        by: see `order_rows`.
        seed: of what is drawn.

    Raises:
        ConfigError: a count below 1, or a classifier without the label.
        DataError: nothing to train on.
    """
    check_choice("by", by, SuggestBy)
    if not 1 <= count <= MOST_HITS:
        raise ConfigError(f"{count} windows: expected 1 to {MOST_HITS}")
    searcher.refresh()
    collection, table = searcher.collection, searcher.table
    notes: list[str] = []
    if classifier is None:
        classifier, notes = _train(collection, table, label, seed)
    if label not in classifier.labels:
        raise ConfigError(f"label {label!r}: not one of the classifier's, which are {', '.join(classifier.labels)}")
    filters = filters or Filters()
    mask, told = choose_windows(collection, table, filters)
    is_known = any(count.label == label for count in count_labels(collection))
    open_rows = _open_rows(collection, table, label if is_known else None, mask)
    probabilities = score_table(table, classifier, classifier.labels.index(label), open_rows)
    judged = find_judged(collection, table, [label]).rows if is_known else np.empty(0, np.int64)
    spacing = spacing or Spacing()
    rows = choose_rows(table, probabilities, by, count, judged, spacing, seed)
    compared = int(np.isfinite(probabilities).sum())
    if not compared:
        told.append(f"no window is left that nothing is said about for {label}")
    found = describe_matches(collection, table, [Match(row, float(probabilities[row])) for row in rows])
    hits = Hits(
        hits=tuple(found),
        encoder=searcher.entry.name,
        query={"suggest": label, "by": by, "seed": seed} | filters.describe(),
        compared=compared,
        exact=True,
        folder=collection.folder.absolute(),
        notes=(*notes, *told),
    )
    note_query(collection, searcher.entry.id, hits)
    return hits


def _train(collection: CollectionFolder, table: WindowTable, label: str, seed: int) -> tuple[Classifier, list[str]]:
    """Train on the labels that are there; unlabelled windows stand in where nothing is a no."""
    said = find_judged(collection, table, [label]).said
    notes, weak = [], 0
    if (said == YES).any() and not (said == NO).any():
        weak = STAND_INS
        notes.append(f"no window is a no for {label}: {weak} unlabelled ones stand in")
    try:
        trained = train(collection, table, [label], TrainOptions(weak_negatives=weak, seed=seed), validate=False)
    except DataError as error:
        raise DataError(f"{error}. axlstm search finds windows like an example, to begin with") from error
    return trained.classifier, notes


def _open_rows(
    collection: CollectionFolder, table: WindowTable, label: str | None, mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Tell which rows overlap no stretch that a label says something about ``(n,)``, among those of a mask."""
    free = np.zeros(len(table), np.float32)
    for recording, statements in (find_statements(collection, label) if label else {}).items():
        for span in table.spans_of(recording).tolist():
            for begin_s, stop_s, _ in in_force(statements):
                rule_out_stretch(table, free, span, (begin_s, stop_s), Spacing())
    is_open = np.isfinite(free)
    return is_open if mask is None else is_open & mask


def score_table(
    table: WindowTable, classifier: Classifier, label: int, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Compute the probability of a label for the windows of a table ``(n,)``, block by block; NaN where none is known.

    Args:
        label: its place among those of the classifier.
        mask: which rows to score ``(n,)``; the others are NaN.
    """
    found = np.full(len(table), np.nan)

    def score(task: tuple[Run, int]) -> None:
        run, begin = task
        rows = np.arange(begin, min(begin + _CHUNK_ROWS, run.rows))
        rows = rows if mask is None else rows[mask[run.begin + rows]]
        if len(rows):
            found[run.begin + rows] = classifier.probabilities(run.part.rows.vectors[run.first + rows])[:, label]

    on_all_cores(score, [(run, begin) for run in table.runs for begin in range(0, run.rows, _CHUNK_ROWS)])
    return found


def choose_rows(
    table: WindowTable,
    probabilities: NDArray[np.float64],
    by: SuggestBy,
    count: int,
    judged: NDArray[np.int64],
    spacing: Spacing,
    seed: int = 0,
) -> list[int]:
    """Choose rows to label, none near another.

    "margin" takes those whose probability is nearest to one half (Lewis and Gale, "A sequential algorithm for training
    text classifiers", 1994). "quantile" draws as many from the half of the windows that is least probable, from the
    next quarter, the next eighth, and so on up (the bins of Navine et al., "All thresholds barred", 2024). "diversity"
    takes uncertain ones that lie far from each other and from those that are judged (the greedy k-centers of Sener and
    Savarese, "Active learning for convolutional neural networks", 2018). "random" draws from all alike.

    Args:
        probabilities: ``(n,)``; rows with NaN are not chosen.
        judged: rows that the label says something about.
    """
    rng = np.random.default_rng(seed)
    is_open = np.isfinite(probabilities)
    if by == "diversity":
        order = order_rows(probabilities, "margin", rng)
        size = max(_LEAST_POOL, count, min(_POOL * count, _MOST_POOL))
        pool = choose_best(table, order, size, spacing)
        return _choose_diverse(table, pool, judged, count, spacing)
    scores = order_rows(probabilities, by, rng)
    scores[~is_open] = -np.inf
    return choose_best(table, scores, count, spacing)


def order_rows(probabilities: NDArray[np.float64], by: SuggestBy, rng: np.random.Generator) -> NDArray[np.float32]:
    """Score rows by how soon they are to be labelled ``(n,)``; minus infinity for those without a probability."""
    is_open = np.isfinite(probabilities)
    if by == "margin":
        certain = np.clip(probabilities, _LEAST_SHARE, 1 - _LEAST_SHARE)
        scores = -np.abs(np.log(certain) - np.log1p(-certain))  # in the order of the distance from one half
    elif by == "random":
        scores = rng.random(len(probabilities))
    else:
        scores = -_turns(probabilities, is_open, rng)
    return np.where(is_open, scores, -np.inf).astype(np.float32)


def _turns(
    probabilities: NDArray[np.float64], is_open: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Give rows turns ``(n,)``, so that each bin has its own: the most probable bin first, and in a bin any row."""
    rows = np.flatnonzero(is_open)
    rows = rows[np.argsort(-probabilities[rows], kind="stable")]
    bins = np.floor(np.log2(len(rows) / np.arange(1, len(rows) + 1))).astype(int)  # 0 is the less probable half
    turns = np.zeros(len(probabilities))
    for one in np.unique(bins):
        own = rows[bins == one]
        turns[own] = (rng.permutation(len(own)) + 1) * (bins.max() + 1) - one
    return turns


def _choose_diverse(
    table: WindowTable, pool: Sequence[int], judged: NDArray[np.int64], count: int, spacing: Spacing
) -> list[int]:
    """Choose rows of a pool, each as far as can be from those before it and from judged rows, by their cosine."""
    rows = np.array(pool, np.int64)
    vectors = _directions(table, rows)
    nearest = np.full(len(rows), -1.0)  # cosines (p,)
    for begin in range(0, len(judged), _BLOCK_ROWS):
        known = _directions(table, judged[begin : begin + _BLOCK_ROWS])
        nearest = np.maximum(nearest, (vectors @ known.T).max(axis=1))
    left = np.full(len(table), -np.inf, np.float32)
    left[rows] = 0
    chosen: list[int] = []
    while len(chosen) < count and np.isfinite(left[rows]).any():
        place = int(np.argmin(np.where(np.isfinite(left[rows]), nearest, np.inf)))
        chosen.append(int(rows[place]))
        rule_out(table, left, int(rows[place]), spacing)
        nearest = np.maximum(nearest, vectors @ vectors[place])
    return chosen


def _directions(table: WindowTable, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standardise the vectors of rows, and scale them to length 1 ``(m, D)``."""
    standard = table.statistics.standardise(table.take_vectors(rows))
    return standard / np.maximum(np.linalg.norm(standard, axis=1, keepdims=True), 1e-9)
