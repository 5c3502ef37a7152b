"""Choose the best windows, one for each recording, or none near a better one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.search.table import Place, WindowTable
from axlstm.errors import ConfigError

_SLACK_S = 1e-6  # bounds are decimal numbers, rounded to float64


@dataclass(frozen=True)
class Spacing:
    """Rule for the distance between two hits in a recording.

    Args:
        one_per_recording: the best window of each recording only.
        apart_s: seconds between the middles of two hits of a recording, at least; 0 allows every window. None allows
            windows that do not overlap.

    Raises:
        ConfigError: a negative number, or both at once.
    """

    one_per_recording: bool = False
    apart_s: float | None = None

    def __post_init__(self) -> None:
        if self.apart_s is not None and not 0 <= self.apart_s < np.inf:
            raise ConfigError(f"apart_s={self.apart_s!r}: expected seconds, from 0 up")
        if self.apart_s is not None and self.one_per_recording:
            raise ConfigError("one hit for each recording, and hits apart_s apart: choose one of them")

    def near(
        self, start_s: NDArray[np.float64], end_s: NDArray[np.float64], begin_s: float, stop_s: float
    ) -> NDArray[np.bool_]:
        """Tell which windows of a recording cannot be hits beside one from ``begin_s`` to ``stop_s``."""
        if self.one_per_recording:
            return np.ones(len(start_s), dtype=bool)
        if self.apart_s is not None:
            return np.abs(start_s + end_s - begin_s - stop_s) / 2 < self.apart_s - _SLACK_S
        return (start_s < stop_s - _SLACK_S) & (end_s > begin_s + _SLACK_S)


def choose_best(table: WindowTable, scores: NDArray[np.float32], count: int, spacing: Spacing) -> list[int]:
    """Choose rows in the order of their scores; each rules out those near it.

    Args:
        scores: ``(n,)``, which are overwritten; minus infinity is never chosen.
        count: of rows to choose; fewer if there are no more.
    """
    if spacing.apart_s == 0:
        return [int(row) for row in best_rows(scores, count)]
    chosen: list[int] = []
    while len(chosen) < count:
        best = best_rows(scores, max(4 * count, 256))
        if not len(best):
            break
        for row in best:
            if np.isfinite(scores[row]):  # else it is near one that was chosen
                chosen.append(int(row))
                rule_out(table, scores, int(row), spacing)
            if len(chosen) == count:
                break
    return chosen


def choose_among(
    table: WindowTable,
    rows: NDArray[np.int64],
    scores: NDArray[np.float64],
    count: int,
    spacing: Spacing,
    places: Sequence[Place],
) -> list[int]:
    """Choose as `choose_best` does, among a few rows; gives their places in ``rows``.

    Args:
        rows: of the table ``(m,)``.
        scores: of these rows ``(m,)``.
        places: windows that overlap these are not chosen.
    """
    spans, windows = table.span_of(rows), table.take_bounds(rows)
    taken: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for span, stretch in places:
        taken[span].append(stretch)
    asked = {span: len(stretches) for span, stretches in taken.items()}
    chosen: list[int] = []
    for index in np.lexsort((rows, -scores)):
        if len(chosen) == count or not np.isfinite(scores[index]):
            break
        span, own = int(spans[index]), slice(index, index + 1)
        rules = [Spacing()] * asked.get(span, 0) + [spacing] * (len(taken[span]) - asked.get(span, 0))
        start_s, end_s = windows[0][own], windows[1][own]
        if any(rule.near(start_s, end_s, *stretch)[0] for rule, stretch in zip(rules, taken[span], strict=True)):
            continue
        chosen.append(int(index))
        taken[span].append((float(start_s[0]), float(end_s[0])))
    return chosen


def rule_out(table: WindowTable, scores: NDArray[np.float32], row: int, spacing: Spacing) -> None:
    """Set the scores of a row and of those near it to minus infinity."""
    rule_out_stretch(table, scores, table.span_of_row(row), table.bounds(row), spacing)
    scores[row] = -np.inf


def rule_out_stretch(
    table: WindowTable, scores: NDArray[np.float32], span: int, stretch: tuple[float, float], spacing: Spacing
) -> None:
    """Set the scores of the windows of a span that are near a stretch to minus infinity."""
    windows = table.span_rows(span)
    own = scores[table.starts[span] : table.starts[span + 1]]
    own[spacing.near(windows.start_s, windows.end_s, *stretch)] = -np.inf


def best_rows(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """List the rows of the highest finite scores, best first; of equal ones, the first row first."""
    rows = np.flatnonzero(np.isfinite(scores))  # first, since partitioning is slow where many are equal
    if count < len(rows):
        rows = rows[np.argpartition(scores[rows], len(rows) - count)[-count:]]
    return rows[np.lexsort((rows, -scores[rows]))]
