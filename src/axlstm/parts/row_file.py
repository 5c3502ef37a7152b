"""Keep the rows of a part in a parquet file on their way into an output that all parts make together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from axlstm.bounds import MOST_PARQUET, check_parquet
from axlstm.errors import DamageError, first_line


class RowFile:
    """Writes a parquet file in groups of rows; it is entered with ``with``, and complete when that ends well.

    Args:
        schema: of pyarrow.
        group: sum of the weights of rows from which on they are written as a group.
        options: of `pyarrow.parquet.ParquetWriter`.
    """

    def __init__(self, path: Path, schema: Any, group: int, **options: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.schema, self._group = schema, group
        self._file = pa.OSFile(os.fsencode(path), "w")
        self._writer = pq.ParquetWriter(self._file, schema, **options)
        self._waiting: list[Any] = []
        self._weight = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._write_group()
                self._writer.close()
            else:
                with suppress(Exception):  # the block's own error is the one to tell
                    self._writer.close()
        finally:
            self._file.close()

    def add_table(self, rows: Any) -> None:
        """Add a table, each row of which weighs 1."""
        self._add(rows, len(rows))

    def add_row(self, values: dict[str, Any], weight: int = 1) -> None:
        """Add a row; columns that it does not name are null."""
        self._add(values, weight)

    def _add(self, rows: Any, weight: int) -> None:
        self._waiting.append(rows)
        self._weight += weight
        if self._weight >= self._group:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        is_of_rows = isinstance(self._waiting[0], dict)
        make = pa.Table.from_pylist(self._waiting, self.schema) if is_of_rows else pa.concat_tables(self._waiting)
        self._writer.write_table(make)
        self._waiting, self._weight = [], 0


@contextmanager
def opened_rows(path: Path, what: str, schema: Any = None) -> Iterator[Any]:
    """Open a file of rows as a `pyarrow.parquet.ParquetFile`.

    Args:
        what: names the rows in an error.
        schema: that it has to have; None where those who read it find out.

    Raises:
        DamageError: another file or a damaged one, or what the block raises because of it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pa.OSFile(os.fsencode(path)) as opened:
            file = pq.ParquetFile(opened, **MOST_PARQUET)
            check_parquet(file.metadata, path.stat().st_size)
            if schema is not None and not file.schema_arrow.equals(schema):
                raise ValueError("columns of other names or types")
            yield file
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DamageError(f"{path}: damaged, or no file of {what} ({first_line(error)})") from error
