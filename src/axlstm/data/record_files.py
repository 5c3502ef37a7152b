"""Keep records on their way into shards, and what is left out of them, in a parquet file: a row for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axlstm.bounds import MOST_PARQUET, check_parquet
from axlstm.data.segments import Record, Skip
from axlstm.errors import DamageError, first_line

_GROUP_BYTES = 16 << 20
_GROUP_ROWS = 4096
_BATCH_ROWS = 64


def _schema() -> Any:
    import pyarrow as pa

    fields = [("position", pa.int64()), ("number", pa.int64()), ("seconds", pa.float64())]
    fields += [("key", pa.string()), ("data", pa.binary()), ("facts", pa.binary()), ("digest", pa.uint64())]
    fields += [("path", pa.binary()), ("start_s", pa.float64()), ("reason", pa.string()), ("detail", pa.string())]
    return pa.schema(fields)


class RecordFile:
    """Writes a file of records, and of what is left out; it is entered with ``with``."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = _schema()
        self._file = pa.OSFile(os.fsencode(path), "w")
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="none", use_dictionary=False)
        self._waiting: list[dict[str, Any]] = []
        self._bytes = 0

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._write_group()
                self._writer.close()
        finally:
            self._file.close()

    def add(self, outcome: Record | Skip) -> None:
        """Add a record, or the note of something that is left out."""
        values: dict[str, Any] = {"position": outcome.position, "number": outcome.number, "seconds": outcome.seconds}
        if isinstance(outcome, Record):
            values |= {"key": outcome.key, "data": outcome.data, "facts": outcome.facts, "digest": outcome.digest}
            self._bytes += len(outcome.data)
        else:
            detail = outcome.detail.encode("utf-8", "backslashreplace").decode()
            values |= {"path": os.fsencode(outcome.path), "start_s": outcome.start_s}
            values |= {"reason": outcome.reason, "detail": detail}
        self._waiting.append(values)
        if self._bytes >= _GROUP_BYTES or len(self._waiting) == _GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema))
            self._waiting, self._bytes = [], 0


def read_records(path: Path) -> Iterator[Record | Skip]:
    """Read the records of a file, and what is left out, in their order.

    Raises:
        DamageError: another file, or a damaged one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pa.OSFile(os.fsencode(path)) as opened:
            file = pq.ParquetFile(opened, **MOST_PARQUET)
            check_parquet(file.metadata, path.stat().st_size)
            if not file.schema_arrow.equals(_schema()):
                raise ValueError("columns of other names or types")
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from map(_outcome, batch.to_pylist())
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DamageError(f"{path}: damaged, or no file of records ({first_line(error)})") from error


def _outcome(row: dict[str, Any]) -> Record | Skip:
    position, number, seconds = row["position"], row["number"], row["seconds"]
    if row["reason"] is None:
        return Record(position, number, row["key"], row["data"], row["facts"], seconds, row["digest"])
    return Skip(position, number, os.fsdecode(row["path"]), row["start_s"], seconds, row["reason"], row["detail"])
