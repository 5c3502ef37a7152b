"""Take columns of a table, such as sites and positions, over to recordings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from axlstm.collection.folder import CollectionFolder
from axlstm.errors import DataError, name_some

_MOST_BYTES = 1 << 26
_MOST_COLUMNS = 200
_MOST_TEXT = 1000  # characters of a cell
_OF_RECORDINGS = ("recorded_at", "latitude", "longitude", "device")  # columns of the table of recordings
_MEASURED = ("duration_s", "sample_rate_hz", "channels")  # columns there that no table says
_BOUNDS = {"latitude": 90.0, "longitude": 180.0}


@dataclass(frozen=True)
class MetadataTable:
    """Rows of a table by their path: of a recording, or of a folder, for all recordings in and below it."""

    file: Path
    rows: Mapping[str, Mapping[str, str]]

    def of(self, path: str) -> tuple[dict[str, str], list[str]]:
        """Join the rows of a recording and of the folders that it lies in: values, and the paths of those rows.

        Where several have a column, the one of the deepest folder counts.
        """
        values: dict[str, str] = {}
        used = []
        for part in reversed([PurePosixPath(path), *PurePosixPath(path).parents]):
            if (row := self.rows.get(str(part))) is not None:
                values.update(row)
                used.append(str(part))
        return values, used


def read_metadata(file: Path) -> MetadataTable:
    """Read a CSV table with a column ``path``; cells are separated by commas, semicolons or tabs.

    Raises:
        DataError: the file cannot be read, has no such column, or a value that cannot be; with the line.
    """
    try:
        size = file.stat().st_size
        if size > _MOST_BYTES:
            raise DataError(f"{file}: {size} bytes, expected a table of at most {_MOST_BYTES}")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not in UTF-8 ({error.reason} at byte {error.start}); save it as CSV UTF-8") from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = [name.strip() for name in next(lines, [])]
        _check_columns(file, columns)
        rows: dict[str, dict[str, str]] = {}
        for cells in lines:
            where = f"{file}, line {lines.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            path, row = _read_row(where, columns, cells)
            if path in rows:
                raise DataError(f"{where}: a second row of {path}; join the two")
            rows[path] = row
    except csv.Error as error:
        raise DataError(f"{file}, line {lines.line_num}: no CSV ({error})") from error
    return MetadataTable(file, rows)


def _check_columns(file: Path, columns: Sequence[str]) -> None:
    if "path" not in columns:
        told = name_some(name[:40] for name in columns) or "none"
        raise DataError(f"{file}: no column path; it has {told}")
    if len(columns) > _MOST_COLUMNS or len(set(columns)) < len(columns) or "" in columns:
        raise DataError(f"{file}: expected at most {_MOST_COLUMNS} columns, each with a name of its own")
    if measured := [name for name in columns if name in _MEASURED]:
        raise DataError(f"{file}: columns {name_some(measured)}, which are measured of each recording; rename them")


def _read_row(where: str, columns: Sequence[str], cells: Sequence[str]) -> tuple[str, dict[str, str]]:
    if len(cells) != len(columns):
        raise DataError(f"{where}: {len(cells)} cells, and the table has {len(columns)} columns")
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    for name, value in values.items():
        if len(value) > _MOST_TEXT or "\0" in value:
            raise DataError(f"{where}: {name} has {len(value)} characters; expected a text of at most {_MOST_TEXT}")
    path = values.pop("path").replace("\\", "/")
    if not path:
        raise DataError(f"{where}: no path; write . for all recordings below the root")
    row = {name: _checked(where, name, value) for name, value in values.items() if value}
    return str(PurePosixPath(path)), row


def _checked(where: str, name: str, value: str) -> str:
    """Refuse values that the column of a recording cannot have."""
    try:
        if name in _BOUNDS and not abs(float(value)) <= _BOUNDS[name]:
            raise ValueError
        if name == "recorded_at" and len(value) < len("2024-05-01T06:00"):
            raise ValueError
        return datetime.fromisoformat(value).isoformat() if name == "recorded_at" else value
    except ValueError:
        expected = "a time such as 2024-05-01T06:00:00+02:00"
        expected = f"degrees from {-_BOUNDS[name]:g} to {_BOUNDS[name]:g}" if name in _BOUNDS else expected
        raise DataError(f"{where}: {name} is {value[:60]!r}; expected {expected}") from None


def apply_metadata(collection: CollectionFolder, table: MetadataTable) -> list[str]:
    """Enter a table's columns into the recordings that are present; values of earlier tables are replaced.

    Returns:
        the paths of rows that are of no recording.

    Raises:
        DataError: two rows of one path, which is spelled in two ways.
    """
    by_name: dict[str, str] = {}
    for path in table.rows:
        name = collection.name_of(Path(path)) if PurePosixPath(path).is_absolute() else path
        if name in by_name:
            raise DataError(f"{table.file}: {by_name[name]} and {path} are one path; join their rows")
        by_name[name] = path
    named = MetadataTable(table.file, {name: table.rows[path] for name, path in by_name.items()})
    unused = set(named.rows)
    changes = []
    rows = collection.tables.execute(
        "SELECT id, path, recorded_at, latitude, longitude, device, metadata FROM recordings WHERE removed_at IS NULL"
    )
    for row in rows:
        values, used = named.of(row["path"])
        unused.difference_update(used)
        before = {name: row[name] for name in (*_OF_RECORDINGS, "metadata")}
        after: dict[str, Any] = {name: values[name] for name in _OF_RECORDINGS if name in values}
        after |= {name: float(values[name]) for name in _BOUNDS if name in values}
        others = {name: value for name, value in values.items() if name not in _OF_RECORDINGS}
        if others:
            after["metadata"] = json.dumps({**collection.metadata_of(row["metadata"]), **others})
        if after.items() - before.items():
            changes.append({**before, **after, "id": row["id"]})
    if changes:
        names = ", ".join(f"{name} = :{name}" for name in (*_OF_RECORDINGS, "metadata"))
        with collection.transaction():
            collection.tables.executemany(f"UPDATE recordings SET {names} WHERE id = :id", changes)
    return [by_name[name] for name in named.rows if name in unused]
