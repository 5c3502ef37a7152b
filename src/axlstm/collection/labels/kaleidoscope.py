"""Read and write the CSV files of Kaleidoscope, whose column MANUAL ID holds what people said.

A recording is INDIR, FOLDER and IN FILE; OFFSET and DURATION are seconds in it. BirdNET-Analyzer writes such files too,
with its own columns of labels.
"""

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
    read_rows,
    split_verdict,
    times_of,
    with_verdict,
)
from axlstm.errors import DataError

FOUND = "TOP1MATCH"
"""The column for what a program found."""

_FILE, _LABEL = "IN FILE", "MANUAL ID"
_PLACE = ("INDIR", "FOLDER", _FILE)
_LABELS = (_LABEL.lower(), FOUND.lower(), "auto id", "common_name", "scientific_name")
_WRITTEN = (*_PLACE, "CHANNEL", "OFFSET", "DURATION", _LABEL)


def is_kaleidoscope(text: str) -> bool:
    """Tell whether a text begins as a file of Kaleidoscope."""
    return _FILE in header_of(text, ",")


def read_kaleidoscope(path: Path, text: str, *, column: str | None = None, label: str | None = None) -> Reading:
    """Read a file of Kaleidoscope. A row without OFFSET is of all of its recording; one without a label is passed over.

    Args:
        column: that holds the labels; None takes MANUAL ID, or else what a program found.
        label: of all rows, in place of a column.

    Raises:
        DataError: another file, or columns that are missing.
    """
    columns = header_of(text, ",")
    if _FILE not in columns:
        raise DataError(f"{path}, line 1: no column {_FILE}; expected a CSV file of Kaleidoscope")
    labels = None if label is not None else choose_column(columns, _LABELS, column, path)
    reading = Reading(path)
    for line, row in read_rows(path, text, ","):
        name = label if labels is None else row[labels]
        if not name:
            reading.passed["rows without a label"] += 1
            continue
        try:
            start_s = parse_number(row["OFFSET"], "OFFSET") if row.get("OFFSET") else None
            duration_s = parse_number(row["DURATION"], "DURATION") if row.get("DURATION") else None
            if start_s is not None and duration_s is None:
                raise ValueError("OFFSET without DURATION")
        except ValueError as error:
            reading.faults.append((line, str(error)))
            continue
        end_s = None if start_s is None or duration_s is None else start_s + duration_s
        recording = "/".join(part for part in (row.get(column, "") for column in _PLACE) if part)
        text_, verdict, _ = split_verdict(name)
        reading.add(Mark(line, recording, start_s, end_s, text_, verdict))
    return reading


def write_kaleidoscope(
    marks: Sequence[Mark], facts: Mapping[str, Facts], more: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Write marks for Kaleidoscope's viewer. It has no place for bands, so these are left out.

    Args:
        facts: of each recording.
        more: further columns, a value for each mark. With `FOUND` among them the labels are a program's, and
            MANUAL ID is left empty for a person's.
    """
    more = more or {}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_WRITTEN, *more])
    for index, mark in enumerate(marks):
        start_s, end_s = times_of(mark)
        place = Path(facts[str(mark.recording)].place)
        folder = place.parent
        cells = [str(folder.parent), folder.name, place.name, "0", f"{start_s:.6f}", f"{end_s - start_s:.6f}"]
        by_hand = "" if FOUND in more else with_verdict(mark.label, mark.verdict)
        writer.writerow([*cells, by_hand, *(values[index] for values in more.values())])
    return out.getvalue()
