"""Find what labels say about single windows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.history import Said, list_standing
from axlstm.collection.labels.judgements import Statement, judge_windows, windows_of_stretch
from axlstm.collection.parts import Rows
from axlstm.collection.search.table import WindowTable
from axlstm.options import Verdict


@dataclass(frozen=True)
class RowVerdict:
    """A label that counts for a window, its verdict, and who gave the latest statement that lies on the window."""

    label: str
    verdict: Verdict
    author: str
    id: int


def find_verdicts(collection: CollectionFolder, table: WindowTable, rows: Sequence[int]) -> dict[int, list[RowVerdict]]:
    """Find what labels say about rows of a table, by `axlstm.collection.labels.judgements`."""
    found: dict[int, list[RowVerdict]] = {row: [] for row in rows}
    spans: dict[int, list[int]] = {}
    for row in rows:
        spans.setdefault(table.span_of_row(row), []).append(row)
    for span, own in spans.items():
        by_label: dict[str, list[Said]] = {}
        for said in list_standing(collection, int(table.recordings[span])):
            by_label.setdefault(said.label, []).append(said)
        windows = table.span_rows(span)
        for label, several in sorted(by_label.items()):
            statements = [Statement(one.start_s, one.end_s, one.verdict) for one in several]
            judged = judge_windows(windows.start_s, windows.end_s, statements)
            for row in own:
                place = row - int(table.starts[span])
                verdict = next((name for name, rows_of in judged.items() if rows_of[place]), None)
                if verdict is not None:
                    lying = [one for one in several if one.verdict == verdict and _counts_for(one, windows, place)]
                    found[row].append(RowVerdict(label, verdict, lying[-1].author, lying[-1].id))
    return found


def _counts_for(said: Said, windows: Rows, place: int) -> bool:
    """Tell whether a label counts for a window by itself; a no, whether it is a part of those that do."""
    if said.verdict != "no":
        return place in windows_of_stretch(windows.start_s, windows.end_s, said.start_s, said.end_s)
    return min(said.end_s, windows.end_s[place]) > max(said.start_s, windows.start_s[place])
