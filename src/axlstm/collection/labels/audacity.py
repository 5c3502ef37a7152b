r"""Read and write Audacity's label tracks: start, end and text of a label, separated by tabs.

A line that begins with a backslash gives the frequencies of the label before it, low and high; -1 is an open end. A
label with equal times is a point. (Audacity Manual, "Importing and Exporting Labels".)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from axlstm.collection.labels.marks import Mark, Reading, as_text, parse_number, split_verdict, times_of

POINT_S = 0.1
"""Length of the stretch around a point label."""


def read_audacity(path: Path, text: str, *, label: str | None = None) -> Reading:
    """Read a label track, of one recording.

    Args:
        label: of all lines, in place of their texts.

    Raises:
        DataError: there are too many labels.
    """
    reading = Reading(path)
    has_mark = False  # for the label that a line of frequencies is of
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        try:
            if content.startswith("\\"):
                band = _read_band(content)
                if has_mark:
                    reading.marks[-1] = replace(reading.marks[-1], low_hz=band[0], high_hz=band[1])
                continue
            mark = _read_line(line, content, label)
        except ValueError as error:
            reading.faults.append((line, str(error)))
            continue
        has_mark = mark is not None
        if mark is None:
            reading.passed["lines without a label"] += 1
        else:
            reading.add(mark)
    return reading


def _read_line(line: int, content: str, label: str | None) -> Mark | None:
    cells = content.split("\t")
    if len(cells) < 2:
        raise ValueError("expected start, end and text, separated by tabs")
    begin_s, end_s = parse_number(cells[0], "the start"), parse_number(cells[1], "the end")
    if begin_s == end_s:
        begin_s, end_s = max(0.0, begin_s - POINT_S / 2), begin_s + POINT_S / 2
    text = " ".join(cells[2:]).strip() if label is None else label
    if not text:
        return None
    name, verdict, score = split_verdict(text)
    return Mark(line, None, begin_s, end_s, name, verdict, score=score)


def _read_band(content: str) -> tuple[float | None, float | None]:
    cells = content.split("\t")
    if len(cells) != 3:
        raise ValueError("expected a backslash, and the low and the high frequency")
    low_hz, high_hz = (parse_number(cell, "a frequency") for cell in cells[1:])
    return None if low_hz < 0 else low_hz, None if high_hz < 0 else high_hz


def write_audacity(marks: Sequence[Mark]) -> str:
    """Write the labels of one recording as a label track, in the order of time."""
    lines = []
    for mark in sorted(marks, key=times_of):
        start_s, end_s = times_of(mark)
        lines.append(f"{start_s:.6f}\t{end_s:.6f}\t{as_text(mark)}")
        if mark.low_hz is not None or mark.high_hz is not None:
            low_hz, high_hz = (-1.0 if value is None else value for value in (mark.low_hz, mark.high_hz))
            lines.append(f"\\\t{low_hz:.6f}\t{high_hz:.6f}")
    return "".join(f"{line}\n" for line in lines)
