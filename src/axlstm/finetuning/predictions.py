"""Keep what a model says of the clips that it is judged by, as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import DataError, first_line
from axlstm.files import write_atomically
from axlstm.finetuning.clips import Clip, Parts

PREDICTIONS = "predictions.csv"


def write_predictions(folder: Path, parts: Parts, clips: Iterable[Clip], values: NDArray[np.float64]) -> None:
    """Write what a model says of clips as CSV: a row for each, and a column for each label.

    Args:
        values: calibrated probabilities ``(n, K)``, or predicted numbers.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "begin_s", "end_s", "group", "is", *parts.labels])
    for clip, row in zip(clips, values, strict=True):
        known = f"{clip.value:g}" if parts.kind == "regression" else ";".join(parts.labels[k] for k in clip.labels)
        stretch = ["" if one is None else f"{one:g}" for one in (clip.begin_s, clip.end_s)]
        writer.writerow([clip.path, *stretch, clip.group, known, *(f"{value:.9g}" for value in row)])
    write_atomically(folder / PREDICTIONS, text.getvalue().encode())


def read_predictions(path: Path, count: int) -> NDArray[np.float64]:
    """Read the columns of labels of `write_predictions`: ``(n, K)``.

    Raises:
        DataError: they are not there, or are no numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        return np.array([[float(value) for value in row[-count:]] for row in rows])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({first_line(error)}); run its fold again") from error
