"""Keep the curves of a classifier beside it, and the windows that they were computed from, for whoever draws them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import parse_object
from axlstm.errors import DamageError
from axlstm.seals import object_is_whole, seal_object

if TYPE_CHECKING:  # what trains and judges takes seconds to load, and reading does without
    from axlstm.collection.classifiers.assess import Assessment, Curve
    from axlstm.collection.classifiers.training import Trained
    from axlstm.collection.search.table import WindowTable
    from axlstm.evaluate.reporting.interval import Interval

CURVES = "curves.json"
_FORMAT = "axlstm curves 1"
_MOST_BYTES = 64 << 20
_MOST_WINDOWS = 20_000  # of a label that are listed


def make_curves(table: WindowTable, trained: Trained, assessments: Sequence[Assessment | None]) -> bytes:
    """Write the curves of each label, and its judged windows with their probability out of fold, as sealed JSON.

    None stands for what is not known. Each window is its recording, start, end, probability, and whether it is a yes.
    """
    from axlstm.collection.classifiers.assess import GRID

    labels = {
        label: {**_describe(assessments[place]), "windows": _list_windows(table, trained, place)}
        for place, label in enumerate(trained.classifier.labels)
    }
    return json.dumps(seal_object({"format": _FORMAT, "grid": GRID.tolist(), "labels": labels})).encode()


def _describe(assessment: Assessment | None) -> dict[str, Any]:
    if assessment is None:
        return {}
    learning = assessment.learning
    grown = None
    if learning is not None:
        averages = [_interval(average) for average in learning.averages]
        grown = {"sizes": list(learning.sizes), "averages": averages, "gain": _interval(learning.gain)}
    return {
        "average_precision": _interval(assessment.average_precision),
        "area_under_roc": _interval(assessment.area_under_roc),
        "counts": asdict(assessment.counts),
        "precision_recall": _curve(assessment.precision_recall),
        "roc": _curve(assessment.roc),
        "bins": [
            {"probability": one.probability, "share": _interval(one.share), "windows": one.windows}
            for one in assessment.bins
        ],
        "learning": grown,
    }


def _curve(curve: Curve) -> dict[str, list[float | None]]:
    return {name: _plain(getattr(curve, name)) for name in ("value", "low", "high")}


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(value), 5) if np.isfinite(value) else None for value in values]


def _interval(interval: Interval) -> list[float | None]:
    return _plain(np.array([interval.mean, interval.low, interval.high]))


def _list_windows(table: WindowTable, trained: Trained, place: int) -> list[list[Any]]:
    solved, outcome = trained.of_label(place)
    rows = solved.examples.rows[solved.examples.is_judged]
    known = np.flatnonzero(np.isfinite(outcome.probabilities))[:_MOST_WINDOWS]
    recordings = table.recordings[table.span_of(rows[known])]
    start_s, end_s = table.take_bounds(rows[known])
    return [
        [int(recording), float(begin_s), float(stop_s), round(float(outcome.probabilities[index]), 5), bool(is_yes)]
        for recording, begin_s, stop_s, index, is_yes in zip(
            recordings, start_s, end_s, known, outcome.is_yes[known], strict=True
        )
    ]


def read_curves(folder: Path) -> dict[str, Any] | None:
    """Read the curves of a classifier; None if it has none, as those of earlier versions.

    Raises:
        DamageError: they are not as they were written.
    """
    path = folder / CURVES
    try:
        found = parse_object(path.read_bytes(), _MOST_BYTES)
        if found.get("format") != _FORMAT or not object_is_whole(found) or not isinstance(found.get("labels"), dict):
            raise ValueError("its checksum or its format does not fit")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DamageError(f"{path}: damaged ({error}); delete it, or train the classifier again") from error
    return found
