"""Keep the windows of recordings in a parquet file on their way into a collection: a row for each window."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.collection.headers import Recorded
from axlstm.collection.parts import Rows
from axlstm.collection.writer import FileNotes
from axlstm.parts.row_file import RowFile, opened_rows
from axlstm.store.origin import ORIGIN_COLUMNS, Origin

_GROUP_ROWS = 4096
_FACTS = {"duration_s": float, "sample_rate_hz": int, "channels": int}
_RECORDED = {"recorded_at": str, "latitude": float, "longitude": float, "device": str}
_NOTES: dict[str, type] = {**_FACTS, **ORIGIN_COLUMNS, **_RECORDED, "metadata": str}


class WindowFile(RowFile):
    """Writes a file of windows.

    Args:
        size: of a vector.
    """

    def __init__(self, path: Path, size: int) -> None:
        import pyarrow as pa

        kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
        self._vector = pa.list_(pa.float16(), size)
        fields = [("path", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64()), ("vector", self._vector)]
        schema = pa.schema(fields + [(name, kinds[kind]) for name, kind in _NOTES.items()])
        texts = ["path", *(name for name, kind in _NOTES.items() if kind is str)]
        super().__init__(path, schema, _GROUP_ROWS, compression="zstd", use_dictionary=texts)

    def add(self, path: str, notes: FileNotes, rows: Rows) -> None:
        """Add the windows of a recording; the numbers of the rows are left out."""
        for first in range(0, len(rows), _GROUP_ROWS):
            self.add_table(self._table(path, notes, rows.cut(first, _GROUP_ROWS)))

    def _table(self, path: str, notes: FileNotes, rows: Rows) -> Any:
        import pyarrow as pa

        vectors = pa.array(np.ascontiguousarray(rows.vectors).reshape(-1))
        recorded = {name: getattr(notes.recorded, name) for name in _RECORDED}
        values = {"path": path, **{name: notes.facts[name] for name in _FACTS}, **recorded}
        values |= {name: getattr(notes.origin, name) for name in ORIGIN_COLUMNS}
        values |= {"metadata": json.dumps(dict(notes.recorded.metadata))}
        columns = {"start_s": rows.start_s, "end_s": rows.end_s}
        columns["vector"] = pa.FixedSizeListArray.from_arrays(vectors, type=self._vector)
        columns |= {
            name: pa.repeat(pa.scalar(value, self.schema.field(name).type), len(rows)) for name, value in values.items()
        }
        return pa.table([columns[name] for name in self.schema.names], schema=self.schema)


def read_windows(path: Path) -> Iterator[tuple[str, FileNotes, Iterator[Rows]]]:
    """Read the recordings of a file, each with its windows in blocks, which are to be read before the next one.

    Raises:
        DamageError: another file, or a damaged one.
    """
    for (name, _), pieces in groupby(_pieces(path), key=lambda piece: (piece[0], piece[1]["digest"])):
        first = next(pieces)
        yield name, _notes(first[1]), (rows for _, _, rows in chain([first], pieces))


def _pieces(path: Path) -> Iterator[tuple[str, Mapping[str, Any], Rows]]:
    with opened_rows(path, "windows") as file:
        for batch in file.iter_batches(_GROUP_ROWS):
            names = batch.column("path").to_pylist()
            digests = batch.column("digest").to_pylist()
            for _, run in groupby(range(len(names)), key=lambda row: (names[row], digests[row])):
                rows = list(run)
                piece = batch.slice(rows[0], len(rows))
                values = piece.slice(0, 1).select(list(_NOTES)).to_pylist()[0]
                yield names[rows[0]], values, _rows(piece)


def _rows(piece: Any) -> Rows:
    vectors = piece.column("vector").flatten().to_numpy(zero_copy_only=False)
    start_s, end_s = (piece.column(name).to_numpy(zero_copy_only=False).copy() for name in ("start_s", "end_s"))
    count = len(start_s)
    return Rows(np.zeros(count, np.int64), start_s, end_s, vectors.astype(np.float16).reshape(count, -1))


def _notes(values: Mapping[str, Any]) -> FileNotes:
    recorded = Recorded(**{name: values[name] for name in _RECORDED}, metadata=json.loads(values["metadata"]))
    origin = Origin(**{name: values[name] for name in ORIGIN_COLUMNS})
    return FileNotes(origin, {name: values[name] for name in _FACTS}, recorded)
