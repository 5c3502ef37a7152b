"""Keep the vectors of a data set in a LanceDB table, on the disk or in an object store, with an index of Lance's."""

from __future__ import annotations

import errno
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import ConfigError, StoreError, remedy_of
from axlstm.remote import check_url, is_url, safe_line
from axlstm.store.records import StoreSettings
from axlstm.store.vectors import Standard, VectorSet

TABLE = "windows"
_KEY = b"axlstm"
_LEAST_INDEXED = 256
"""Rows that the product quantisation of Lance is trained on at least."""
_REFINE = 10  # times as many candidates are compared with the vectors themselves
_OS_ERROR = re.compile(r"\bos error (\d+)\b")  # as Rust's libraries tell it


@dataclass(frozen=True)
class LanceSummary:
    """Outcome of a writing: rows of the table, and whether it has an index."""

    rows: int
    is_indexed: bool


def is_lance(place: str) -> bool:
    """Tell whether a folder of this machine, or a URL, is a LanceDB database with a table of ours."""
    if not is_url(place):
        return Path(place, f"{TABLE}.lance").is_dir()
    from axlstm.remote import Store

    try:
        return any(name.rstrip("/").endswith(f"/{TABLE}.lance") for name, _ in Store(place).list(place))
    except FileNotFoundError:
        return False


def write_lance(vectors: VectorSet, out: str, progress: Callable[[float], None] = lambda _: None) -> LanceSummary:
    """Write the table ``windows``: path, start_s, end_s, and the standardised vector, with an IVF-PQ index of Lance's.

    The vectors are read twice, the first time for mean and deviation, and are never in memory as a whole. The table is
    there when all rows are; the same call makes an index that is missing.

    Args:
        out: a folder, or the URL of one.
        progress: called with the rows of each block that is written.

    Raises:
        ConfigError: LanceDB is not installed, or there is another table.
        StoreError: LanceDB cannot write it.
    """
    import pyarrow as pa

    database = _connect(out)
    about = {"settings": vectors.settings.to_json(), "source": vectors.source, "plan": vectors.plan.id}
    with _told(out):
        is_there = TABLE in database.list_tables().tables and not _drop_unfinished(database)
    if is_there:
        table = _open(database, out)
        if table.about["plan"] != about["plan"]:
            raise ConfigError(f"{out}: has a table of other embeddings; choose a new folder")
    else:
        standard = vectors.measure()
        about |= {"mean": standard.mean.tolist(), "deviation": standard.deviation.tolist()}
        kind = pa.list_(pa.float32(), vectors.settings.size)
        fields = [("path", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64()), ("vector", kind)]
        schema = pa.schema(fields, metadata={_KEY: json.dumps(about).encode()})

        def batches() -> Iterator[Any]:
            for block in vectors.blocks():
                flat = pa.array(standard.apply(block.vectors).reshape(-1))
                rows = pa.FixedSizeListArray.from_arrays(flat, type=kind)
                yield pa.record_batch([pa.array(block.paths), block.start_s, block.end_s, rows], schema=schema)
                progress(len(block.paths))

        with _told(out):
            write_table(database, schema, batches())
        table = _open(database, out)
    rows = table.rows
    if rows >= _LEAST_INDEXED and not table.is_indexed:
        with _told(out):
            table.table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_PQ")
    return LanceSummary(rows, rows >= _LEAST_INDEXED)


def _drop_unfinished(database: Any) -> bool:
    """Remove a table of which no version is complete: its writer was ended."""
    try:
        database.open_table(TABLE)
    except ValueError as error:
        if "not found" not in str(error):
            raise
        database.drop_table(TABLE)
        return True
    return False


def write_table(database: Any, schema: Any, batches: Iterable[Any]) -> int:
    """Write the table ``windows`` of a LanceDB database, and return its rows.

    Its vectors are read again and compared: LanceDB does not report every write that fails. Where they are others, the
    table is removed.

    Raises:
        OSError: the vectors are not read as they were written.
        RuntimeError, ValueError: LanceDB cannot write them.
    """
    import pyarrow as pa

    sent, read, rows = [0], [0], 0
    table = database.create_table(TABLE, pa.RecordBatchReader.from_batches(schema, _summed(batches, sent)))
    cause: Exception | None = None
    try:
        for batch in _summed(table.search().select(["vector"]).to_batches(), read):
            rows += batch.num_rows
    except (RuntimeError, OSError, ValueError) as error:
        cause = error
    if cause is not None or read != sent:
        database.drop_table(TABLE)
        raise OSError(errno.EIO, "its vectors are not read as they were written") from cause
    return rows


def _summed(batches: Iterable[Any], total: list[int]) -> Iterator[Any]:
    """Pass batches on, and keep the CRC-32 of their vectors in ``total[0]``."""
    for batch in batches:
        total[0] = zlib.crc32(batch.column("vector").flatten().to_numpy().tobytes(), total[0])
        yield batch


def open_lance(place: str) -> LanceTable:
    """Open a table that `write_lance` wrote.

    Raises:
        ConfigError: LanceDB is not installed, or the table is another one.
        StoreError: LanceDB cannot read it.
    """
    return _open(_connect(place), place)


class LanceTable:
    """A table of windows, or of whole recordings, that is searched by LanceDB.

    Args:
        table: of LanceDB.
        about: what `write_lance` notes of it.
    """

    def __init__(self, table: Any, place: str, about: Mapping[str, Any]) -> None:
        self.table, self.place, self.about = table, place, about
        self.settings = StoreSettings.from_json(about["settings"])
        self.source: Mapping[str, Any] = about["source"]
        self.standard = Standard(np.array(about["mean"]), np.array(about["deviation"]))

    @property
    def rows(self) -> int:
        """Count the rows."""
        with _told(self.place):
            return int(self.table.count_rows())

    @property
    def is_indexed(self) -> bool:
        """Tell whether there is an index."""
        with _told(self.place):
            return bool(self.table.list_indices())

    def of_recording(self, path: str) -> list[dict[str, Any]]:
        """Return the rows of a recording: path, start_s, end_s, vector."""
        quoted = path.replace("'", "''")
        with _told(self.place):
            found: list[dict[str, Any]] = self.table.search().where(f"path = '{quoted}'").to_list()
        return found

    def nearest(
        self, direction: NDArray[np.float64], count: int, is_exact: bool
    ) -> list[tuple[str, float, float, float]]:
        """Return the rows nearest to a direction ``(D,)``: path, start_s, end_s and cosine, the best one first."""
        with _told(self.place):
            asked = self.table.search(direction.astype(np.float32)).distance_type("cosine").limit(count)
            asked = asked.bypass_vector_index() if is_exact else asked.refine_factor(_REFINE)
            found = asked.select(["path", "start_s", "end_s", "_distance"]).to_list()
        return [(row["path"], row["start_s"], row["end_s"], 1.0 - row["_distance"]) for row in found]


def _open(database: Any, place: str) -> LanceTable:
    with _told(place):
        table = database.open_table(TABLE)
        content = (table.schema.metadata or {}).get(_KEY)
    try:
        return LanceTable(table, place, json.loads(content or b""))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{place}: a LanceDB table that axlstm did not write of a folder of parts") from error


def _connect(place: str) -> Any:
    if is_url(place):
        check_url(place)
    try:
        lancedb = import_module("lancedb")
    except ImportError as error:
        raise ConfigError('this needs LanceDB: pip install "axlstm[lancedb]"') from error
    is_plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")  # as of MinIO on one's own network
    with _told(place):
        return lancedb.connect(place, storage_options={"allow_http": "true"} if is_url(place) and is_plain else None)


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn what LanceDB raises into an error that names the place, without what may be credentials."""
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        told = f"{place}: LanceDB fails ({safe_line(error)})"
        raise StoreError(told if is_url(place) else f"{told}. {remedy_of(disk_error(error))}") from error


def disk_error(error: Exception) -> OSError:
    """Return the error of the disk that an error of LanceDB tells of; one without a number if it is another one."""
    if isinstance(error, OSError):
        return error
    found = _OS_ERROR.search(str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))
