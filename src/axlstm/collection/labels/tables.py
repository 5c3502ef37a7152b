"""Read and write labels as CSV tables of our own, and as the table that ``axlstm hear make`` takes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from axlstm.collection.labels.marks import (
    Facts,
    Mark,
    Reading,
    choose_column,
    header_of,
    parse_number,
    parse_optional,
    parse_verdict,
    read_rows,
    score_of,
    times_of,
)
from axlstm.errors import DataError

COLUMNS = ("path", "start_s", "end_s", "label", "verdict", "low_hz", "high_hz", "author")
NOT_JUDGED = "?"
"""The verdict of a row until somebody gives one."""


def read_table(path: Path, text: str, *, column: str | None = None, label: str | None = None) -> Reading:
    """Read a CSV table; cells are separated by commas, semicolons or tabs.

    Columns: ``path`` of the recording; ``label``; ``start_s`` and ``end_s``, or ``start_ms`` and ``end_ms``, without
    which a label is of all of its recording; and ``verdict`` (yes, no, unsure), ``low_hz``, ``high_hz`` and ``author``,
    which may be missing. Others are passed over, and so are rows with a question mark as their verdict.

    Args:
        column: that holds the labels, in place of ``label``.
        label: of all rows, in place of a column.

    Raises:
        DataError: columns that are missing, or a file that is no table.
    """
    separator = _separator(text)
    reading = Reading(path)
    rows = read_rows(path, text, separator)
    columns = header_of(text, separator)
    if "path" not in columns:
        raise DataError(f"{path}, line 1: no column path, which names the recording; it has {', '.join(columns)[:300]}")
    labels = None if label is not None else choose_column(columns, ("label",), column, path)
    for line, row in rows:
        name = label if labels is None else row[labels]
        if not name:
            reading.passed["rows without a label"] += 1
            continue
        if row.get("verdict") == NOT_JUDGED:
            reading.passed["rows that are not judged (?)"] += 1
            continue
        try:
            mark = _read_row(line, row, name)
        except ValueError as error:
            reading.faults.append((line, str(error)))
            continue
        reading.add(mark)
    return reading


def is_table(text: str) -> bool:
    """Tell whether a text begins with the header of a table of labels, hits or detections."""
    return {"path", "start_s", "end_s"} <= set(header_of(text, _separator(text)))


def _separator(text: str) -> str:
    head = text.partition("\n")[0]
    return max(",;\t", key=head.count)


def _read_row(line: int, row: Mapping[str, str], label: str) -> Mark:
    if not row["path"]:
        raise ValueError("no path of a recording")
    times: list[float | None] = [parse_optional(row, "start_s"), parse_optional(row, "end_s")]
    if times == [None, None] and (row.get("start_ms") or row.get("end_ms")):
        times = [parse_number(row.get(name, ""), name) / 1000 for name in ("start_ms", "end_ms")]
    if (times[0] is None) != (times[1] is None):
        raise ValueError("start_s and end_s: expected both, or none for all of the recording")
    verdict = parse_verdict(row.get("verdict", ""))
    band = (parse_optional(row, "low_hz"), parse_optional(row, "high_hz"))
    score = None if row.get("verdict") else score_of(row.get("score", ""))
    return Mark(line, row["path"], times[0], times[1], label, verdict, *band, row.get("author") or None, score)


def write_table(marks: Sequence[Mark], more: Mapping[str, Sequence[str]] | None = None) -> str:
    """Write marks as a table for `read_table`.

    Args:
        more: further columns, a value for each mark.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *(more or {})])
    for index, mark in enumerate(marks):
        start_s, end_s = times_of(mark)
        band = ["" if value is None else f"{value:.3f}" for value in (mark.low_hz, mark.high_hz)]
        cells = [mark.recording, f"{start_s:.6f}", f"{end_s:.6f}", mark.label, mark.verdict, *band, mark.author or ""]
        writer.writerow([*cells, *(values[index] for values in (more or {}).values())])
    return out.getvalue()


def write_hear_table(marks: Sequence[Mark], facts: Mapping[str, Facts], groups: Mapping[str, str]) -> tuple[str, int]:
    """Write the table that ``axlstm hear make`` makes a task of events from, and count the marks that it cannot have.

    It holds what is a yes. A recording of which all that is known is a no has a row without a label.

    Args:
        facts, groups: of each recording; a group stays in one fold.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "label", "start_ms", "end_ms", "group"])
    said = [mark for mark in marks if mark.verdict == "yes"]
    for mark in said:
        start_s, end_s = times_of(mark)
        recording = str(mark.recording)
        cells = [facts[recording].place, mark.label, f"{1000 * start_s:.3f}", f"{1000 * end_s:.3f}", groups[recording]]
        writer.writerow(cells)
    for recording in sorted({str(mark.recording) for mark in marks} - {str(mark.recording) for mark in said}):
        writer.writerow([facts[recording].place, "", "", "", groups[recording]])
    return out.getvalue(), len(marks) - len(said)
