"""Find windows that were drawn in a collection again, and what was said about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.density.plan import DrawnWindow
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.judgements import SAME_S, Statement, judge_windows
from axlstm.collection.labels.table import count_labels, find_statements
from axlstm.collection.search.table import WindowTable
from axlstm.options import Verdict


def find_rows(collection: CollectionFolder, table: WindowTable, windows: Sequence[DrawnWindow]) -> NDArray[np.int64]:
    """Find the rows of windows that were drawn ``(m,)``, each another one; -1 for those that are not there any more.

    A recording is known by its path and content; or, if it lies elsewhere now, by its content.
    """
    present = collection.tables.execute("SELECT id, path, digest FROM recordings WHERE removed_at IS NULL").fetchall()
    by_path = {(row["path"], row["digest"]): [row["id"]] for row in present}
    by_content: dict[str, list[int]] = {}
    for row in present:
        by_content.setdefault(row["digest"], []).append(row["id"])
    found, taken = np.full(len(windows), -1), set[int]()
    is_moved = [(window.path, window.digest) not in by_path for window in windows]
    for place in np.argsort(is_moved, kind="stable").tolist():  # those that are where they were come first
        window = windows[place]
        numbers = by_content.get(window.digest, []) if is_moved[place] else by_path[window.path, window.digest]
        rows = (row for number in numbers for row in _rows_at(table, number, window.start_s))
        found[place] = next((row for row in rows if row not in taken), -1)
        taken.add(int(found[place]))
    return found


def _rows_at(table: WindowTable, recording: int, start_s: float) -> Iterator[int]:
    for span in table.spans_of(recording).tolist():
        own = np.flatnonzero(np.abs(table.span_rows(span).start_s - start_s) < SAME_S)
        yield from (table.starts[span] + own[:1]).tolist()


def judge_rows(
    collection: CollectionFolder, table: WindowTable, rows: NDArray[np.int64], label: str
) -> list[Verdict | None]:
    """Tell what a label says about windows: what was said of just that stretch, or else by the rules of overlap."""
    is_known = any(one.label == label for one in count_labels(collection))
    statements = find_statements(collection, label) if is_known else {}
    return [_judge_row(table, int(row), statements) for row in rows]


def _judge_row(table: WindowTable, row: int, statements: Mapping[int, Sequence[Statement]]) -> Verdict | None:
    span = table.span_of_row(row)
    said = statements.get(int(table.recordings[span]), [])
    start_s, end_s = table.bounds(row)
    for begin_s, stop_s, verdict in reversed(said):
        if abs(begin_s - start_s) < SAME_S and abs(stop_s - end_s) < SAME_S:
            return verdict
    if not said:
        return None
    windows, place = table.span_rows(span), row - int(table.starts[span])
    judged = judge_windows(windows.start_s, windows.end_s, said)
    return next((verdict for verdict, is_said in judged.items() if is_said[place]), None)
