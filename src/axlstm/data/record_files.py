"""Keep records on their way into shards, and what is left out of them, in a parquet file: a row for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axlstm.data.segments import Record, Skip
from axlstm.parts.row_file import RowFile, opened_rows

_GROUP_BYTES = 16 << 20
_LEAST_WEIGHT = _GROUP_BYTES // 4096  # of a row
_BATCH_ROWS = 64


def _schema() -> Any:
    import pyarrow as pa

    fields = [("position", pa.int64()), ("number", pa.int64()), ("seconds", pa.float64())]
    fields += [("key", pa.string()), ("data", pa.binary()), ("facts", pa.binary()), ("digest", pa.uint64())]
    fields += [("path", pa.binary()), ("start_s", pa.float64()), ("reason", pa.string()), ("detail", pa.string())]
    return pa.schema(fields)


class RecordFile(RowFile):
    """Writes a file of records, and of what is left out."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _schema(), _GROUP_BYTES, compression="none", use_dictionary=False)

    def add(self, outcome: Record | Skip) -> None:
        """Add a record, or the note of something that is left out."""
        values: dict[str, Any] = {"position": outcome.position, "number": outcome.number, "seconds": outcome.seconds}
        if isinstance(outcome, Record):
            values |= {"key": outcome.key, "data": outcome.data, "facts": outcome.facts, "digest": outcome.digest}
        else:
            detail = outcome.detail.encode("utf-8", "backslashreplace").decode()
            values |= {"path": os.fsencode(outcome.path), "start_s": outcome.start_s}
            values |= {"reason": outcome.reason, "detail": detail}
        self.add_row(values, max(_LEAST_WEIGHT, len(values.get("data", b""))))


def read_records(path: Path) -> Iterator[Record | Skip]:
    """Read the records of a file, and what is left out, in their order.

    Raises:
        DamageError: another file, or a damaged one.
    """
    with opened_rows(path, "records", _schema()) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            yield from map(_outcome, batch.to_pylist())


def _outcome(row: dict[str, Any]) -> Record | Skip:
    position, number, seconds = row["position"], row["number"], row["seconds"]
    if row["reason"] is None:
        return Record(position, number, row["key"], row["data"], row["facts"], seconds, row["digest"])
    return Skip(position, number, os.fsdecode(row["path"]), row["start_s"], seconds, row["reason"], row["detail"])
