"""Collect the windows that labels say something about, and make examples of them to train classifiers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.table import count_labels, find_statements
from axlstm.collection.search.filters import judge_spans
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError, DataError, name_some
from axlstm.options import Verdict

YES, NO, UNSURE, UNSAID = 1, 0, -1, -2
"""Codes of a label's verdict about a window. Windows with one of the last two are left out."""

BACKGROUND = "background"
"""The class of windows that are a no for all labels, where windows have one label at most."""

WEAK_WEIGHT = 0.1
"""The weight of an unlabelled window that counts as a no. A window that somebody said no about has weight 1."""

_CODES: dict[Verdict, int] = {"yes": YES, "no": NO, "unsure": UNSURE}


@dataclass(frozen=True, eq=False)
class Judged:
    """The windows that labels say something about.

    Args:
        rows: of the table ``(n,)``, in order.
        said: what each label says about each window ``(n, L)``: `YES`, `NO`, `UNSURE` or `UNSAID`.
    """

    labels: tuple[str, ...]
    rows: NDArray[np.int64]
    said: NDArray[np.int8]

    def cut(self, chosen: NDArray[np.bool_]) -> Judged:
        """Return some of the windows."""
        return Judged(self.labels, self.rows[chosen], self.said[chosen])


def split_labels(collection: CollectionFolder, values: Sequence[str]) -> tuple[str, ...]:
    """Return labels that may be given as ``wren,robin``; a label with a comma in its name is one.

    Raises:
        ConfigError: none.
    """
    known = {count.label for count in count_labels(collection)}
    labels: dict[str, None] = {}
    for value in values:
        parts = [value] if value in known else [part.strip() for part in value.split(",")]
        labels |= dict.fromkeys(part for part in parts if part)
    if not labels:
        raise ConfigError(
            f"{collection.folder}: no label to train; it has {name_some(known) or 'none: axlstm label import'}"
        )
    return tuple(labels)


def find_judged(collection: CollectionFolder, table: WindowTable, labels: Sequence[str]) -> Judged:
    """Collect the windows that any of some labels says something about, by the rules of labels about windows.

    Raises:
        DataError: a label that is not there.
    """
    found: list[tuple[int, NDArray[np.int64], int]] = []  # label, rows, what it says about them
    for column, label in enumerate(labels):
        for span, judged in judge_spans(table, find_statements(collection, label)):
            begin = int(table.starts[span])
            found += [(column, begin + np.flatnonzero(judged[verdict]), code) for verdict, code in _CODES.items()]
    rows = np.unique(np.concatenate([own for _, own, _ in found])) if found else np.empty(0, np.int64)
    said = np.full((len(rows), len(labels)), UNSAID, np.int8)
    for column, own, code in found:
        said[np.searchsorted(rows, own), column] = code
    return Judged(tuple(labels), rows, said)


def draw_unsaid(table: WindowTable, judged: Judged, count: int, seed: int) -> NDArray[np.int64]:
    """Draw windows that no label says anything about, all alike: their rows, in order; fewer if there are no more."""
    others = np.ones(len(table), dtype=bool)
    others[judged.rows] = False
    rows = np.flatnonzero(others)
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of one problem: no and yes of a label, or classes of which each window has one.

    Args:
        names: of the classes.
        rows: of the table ``(n,)``.
        classes: of each window ``(n,)``, indices of names.
        is_judged: whether a label says so ``(n,)``; the others are unlabelled windows that count as a no.
    """

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    is_judged: NDArray[np.bool_]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Return what each window counts in training ``(n,)``."""
        return np.where(self.is_judged, 1.0, WEAK_WEIGHT)


def _join(
    names: tuple[str, ...], rows: NDArray[np.int64], classes: NDArray[np.int64], weak: NDArray[np.int64], none: int
) -> Examples:
    """Put unlabelled windows, of the class ``none``, behind those that labels say something about."""
    return Examples(
        names,
        np.concatenate([rows, weak]),
        np.concatenate([classes, np.full(len(weak), none)]).astype(np.int64),
        np.arange(len(rows) + len(weak)) < len(rows),
    )


def examples_of_label(judged: Judged, column: int, weak: NDArray[np.int64]) -> Examples:
    """Make the examples of one label: windows that are a yes or a no.

    Args:
        weak: rows of unlabelled windows that count as a no.

    Raises:
        DataError: no yes, or no no.
    """
    label, said = judged.labels[column], judged.said[:, column]
    known = said >= NO
    if not (said == YES).any():
        raise DataError(f"label {label!r}: no window is a yes; say yes to some: axlstm label add or import")
    if not (said == NO).any() and not len(weak):
        raise DataError(
            f"label {label!r}: {(said == YES).sum()} windows are a yes, and none is a no. Say no to some that axlstm "
            f"suggest finds; or take unlabelled windows as such with --weak-negatives 100; or, if each labelled window "
            "has one of several labels, train these with --mode multiclass"
        )
    return _join(("no", label), judged.rows[known], said[known].astype(np.int64), weak, NO)


def examples_of_classes(judged: Judged, weak: NDArray[np.int64]) -> tuple[Examples, list[str]]:
    """Make the examples of labels of which each window has one: those with one yes, and nothing unsure beside it.

    Windows that are a no for all labels, and unlabelled ones that count as such, are the background, the last class.

    Returns:
        the examples, and how many windows are left out, by the reason.

    Raises:
        DataError: a label without a window, or fewer than two classes.
    """
    said, labels = judged.said, judged.labels
    yes = (said == YES).sum(axis=1)
    is_unsure = (said == UNSURE).any(axis=1)
    is_background = (said == NO).all(axis=1)
    is_one = (yes == 1) & ~is_unsure
    told = [
        (int((yes > 1).sum()), "have several of the labels"),
        (int((is_unsure & (yes <= 1)).sum()), "are unsure"),
        (int((~is_unsure & (yes == 0) & ~is_background).sum()), "are a no for some of the labels only"),
    ]
    has_background = bool(is_background.any() or len(weak))
    names = (*labels, BACKGROUND) if has_background else labels
    known = is_one | is_background
    classes = np.where(is_background, len(labels), (said == YES).argmax(axis=1))[known]
    missing = [label for place, label in enumerate(labels) if not (classes == place).any()]
    if missing:
        raise DataError(f"no window has the label {name_some(missing)} alone; label some, or train the others")
    if len(names) < 2:
        raise DataError(
            f"label {labels[0]!r} alone: classes are two labels or more, or one and windows that are a no for it"
        )
    if len(set(names)) < len(names):
        raise DataError(f"a label called {BACKGROUND}, and windows that are a no for all labels, which is a class too")
    examples = _join(names, judged.rows[known], classes, weak, len(labels))
    return examples, [f"{count} windows left out that {reason}" for count, reason in told if count]
