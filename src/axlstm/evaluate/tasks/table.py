"""Read a table of sound files and labels."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axlstm.errors import DataError, name_some
from axlstm.evaluate.tasks.metadata import TaskError


@dataclass(frozen=True)
class TableClip:
    """A sound file of a table: its split or group, its labels (or events as in a task's JSON), and its first line."""

    path: Path
    part: str
    labels: list[Any]
    line: int


def read_table(table: Path, *, with_parts: bool = True) -> tuple[list[TableClip], str, str]:
    """Read the clips in the table's order, the kind of task, and which column their parts are of.

    Args:
        with_parts: whether there must be splits or groups. Where there need not be, a clip's part is its own path, and
            the column is ``path``.

    Raises:
        TaskError: naming the table's line, for missing columns, files, labels or parts, or an empty label in a table
            whose other rows have one label each.
        DataError: a table that is no CSV text in UTF-8.
    """
    if not table.is_file():
        raise TaskError(f"{table} does not exist: expected a CSV file with the columns path, label, and split or group")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            rows = list(enumerate(reader, start=2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no CSV text in UTF-8 ({error}): save it again as UTF-8") from error
    found_parts = [name for name in ("group", "split") if name in columns]
    if not {"path", "label"} <= columns or len(found_parts) > 1 or (with_parts and not found_parts):
        expected = (
            "expected the columns path, label, and " + ("" if with_parts else "at most ") + "one of split and group"
        )
        raise TaskError(f"{table}: {expected}; found {sorted(columns)}")
    part_column = found_parts[0] if found_parts else "path"
    is_event = {"start_ms", "end_ms"} <= columns
    clips: dict[Path, TableClip] = {}
    unlabelled: list[int] = []  # lines
    for line, row in rows:
        path = table.parent / (row["path"] or "")
        if not path.is_file():
            raise TaskError(f"{table} line {line}: {path} is not a file")
        if not row[part_column]:
            raise TaskError(f"{table} line {line}: {part_column} is empty")
        if path in clips and (not is_event or clips[path].part != row[part_column]):
            raise TaskError(f"{table} line {line}: {path} is there twice")
        clip = clips.setdefault(path, TableClip(path, row[part_column], [], line))
        plain = [label.strip() for label in (row["label"] or "").split(";")]
        if plain == [""]:
            unlabelled.append(line)
        clip.labels.extend(_read_event(table, line, row) if is_event else filter(None, plain))
    if not clips:
        raise TaskError(f"{table} has no rows")
    is_multiclass = [len(clip.labels) for clip in clips.values()].count(1) + len(unlabelled) == len(clips)
    if unlabelled and is_multiclass and not is_event:
        raise TaskError(
            f"{table} line {name_some(map(str, unlabelled))}: label is empty, but no clip has several labels, so each "
            "needs one; write it, or remove the row. To make the task multilabel, write ; for a clip without labels"
        )
    kind = "event" if is_event else "multiclass" if is_multiclass else "multilabel"
    return list(clips.values()), kind, part_column


def _read_event(table: Path, line: int, row: dict[str, str]) -> list[dict[str, Any]]:
    if not row["label"]:
        return []
    try:
        start_ms, end_ms = float(row["start_ms"]), float(row["end_ms"])
    except (TypeError, ValueError) as error:
        raise TaskError(f"{table} line {line}: start_ms and end_ms must be numbers") from error
    if not 0 <= start_ms <= end_ms:
        raise TaskError(f"{table} line {line}: an event must start at 0 ms or later and end after it starts")
    return [{"label": row["label"], "start": start_ms, "end": end_ms}]
