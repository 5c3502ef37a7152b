"""Read and write Raven's selection tables.

Facts of the format: columns are separated by tabs. Opened as a selection table, "Begin Time (s)" and "End Time (s)"
count from the beginning of the sequence of files that is open, through all of them; opened as a sound selection table,
"Begin Path" and "File Offset (s)" say where a selection begins in its own file (answer of Raven's support in Rraven's
issue 3). A selection has a row for each view, waveform and spectrogram.
"""

from __future__ import annotations

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
    split_verdict,
    times_of,
)
from axlstm.errors import ConfigError, DataError

BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
LOW, HIGH = "Low Freq (Hz)", "High Freq (Hz)"
PATH, FILE, END_FILE = "Begin Path", "Begin File", "End File"
_LABELS = ("label", "annotation", "species", "common name", "species code", "call type", "class", "type", "tag")
_WRITTEN = ("Selection", "View", "Channel", BEGIN, END, LOW, HIGH, PATH, OFFSET)


def is_raven(text: str) -> bool:
    """Tell whether a text begins as a selection table."""
    return BEGIN in header_of(text, "\t")


def read_raven(path: Path, text: str, *, column: str | None = None, label: str | None = None) -> Reading:
    """Read a selection table. Without a column of offsets in files, its times may run through all of them.

    Args:
        column: that holds the labels; None takes the first of those in use.
        label: of all rows, in place of a column.

    Raises:
        DataError: another file, or columns that are missing.
    """
    columns = header_of(text, "\t")
    missing = [name for name in (BEGIN, END) if name not in columns]
    if missing:
        raise DataError(f"{path}, line 1: no column {' and '.join(missing)}; expected a selection table of Raven")
    labels = None if label is not None else choose_column(columns, _LABELS, column, path)
    reading = Reading(path, runs_through=OFFSET not in columns)
    seen: dict[tuple[str, str], str] = {}  # the view of each selection that counts
    for line, row in read_rows(path, text, "\t"):
        key = (row.get("Selection", "") or str(line), row.get(PATH) or row.get(FILE) or "")
        view = row.get("View", "")
        if seen.setdefault(key, view) != view:
            reading.passed["rows of a second view"] += 1
            continue
        try:
            mark = _read_row(line, row, row[labels] if labels is not None else label or "")
        except ValueError as error:
            reading.faults.append((line, str(error)))
            continue
        if mark is None:
            reading.passed["rows without a label"] += 1
        else:
            reading.add(mark)
    return reading


def _read_row(line: int, row: Mapping[str, str], text: str) -> Mark | None:
    if not text:
        return None
    begin_s, end_s = parse_number(row[BEGIN], BEGIN), parse_number(row[END], END)
    low_hz, high_hz = parse_optional(row, LOW), parse_optional(row, HIGH)
    if row.get(END_FILE) and row.get(FILE) and row[END_FILE] != row[FILE]:
        raise ValueError(f"begins in {row[FILE]} and ends in {row[END_FILE]}; a label lies in one recording")
    if OFFSET in row:
        offset_s = parse_number(row[OFFSET], OFFSET)
        begin_s, end_s = offset_s, offset_s + end_s - begin_s
    name, verdict, score = split_verdict(text)
    if row.get("Verdict"):
        name, verdict, score = text, parse_verdict(row["Verdict"]), None
    elif row.get("Score"):
        score = score_of(row["Score"])
    recording = row.get(PATH) or row.get(FILE) or None
    return Mark(line, recording, begin_s, end_s, name, verdict, low_hz, high_hz, row.get("Author") or None, score)


def write_raven(marks: Sequence[Mark], facts: Mapping[str, Facts], more: Mapping[str, Sequence[str]]) -> str:
    """Write a selection table over the recordings of marks, one behind the other in the order of their paths.

    An open band is written as what the recording can hold, from 0 to half of its rate.

    Args:
        marks: each names its recording and has times.
        facts: of each recording.
        more: further columns, a value for each mark.

    Raises:
        ConfigError: a path with characters that end lines or cells.
    """
    begins, total_s = {}, 0.0
    for recording in sorted({str(mark.recording) for mark in marks}):
        begins[recording] = total_s
        total_s += facts[recording].duration_s
    lines = ["\t".join((*_WRITTEN, "Label", *more))]
    for index, mark in enumerate(marks):
        start_s, end_s = times_of(mark)
        own = facts[str(mark.recording)]
        if not own.place.isprintable():
            raise ConfigError(
                f"{own.place!r}: a path that no selection table can hold; rename the recording, or take another format"
            )
        begin_s = begins[str(mark.recording)] + start_s
        low_hz = mark.low_hz or 0.0
        high_hz = own.sample_rate_hz / 2 if mark.high_hz is None else mark.high_hz
        numbers = [f"{begin_s:.6f}", f"{begin_s + end_s - start_s:.6f}", f"{low_hz:.3f}", f"{high_hz:.3f}"]
        cells = [str(index + 1), "Spectrogram 1", "1", *numbers, own.place, f"{start_s:.6f}", mark.label]
        lines.append("\t".join([*cells, *(values[index] for values in more.values())]))
    return "\n".join(lines) + "\n"
