"""Write the windows of a collection for others: a parquet file, a LanceDB table, or perch-hoplite's database."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from axlstm.collection.folder import CollectionFolder, EncoderEntry
from axlstm.collection.new_folders import new_folder
from axlstm.collection.parts import Rows
from axlstm.errors import ConfigError
from axlstm.files import atomic_path, writing
from axlstm.options import CollectionFormat, check_choice
from axlstm.store.lance import disk_error, write_table

_BLOCK_ROWS = 4096
_BY_TEXT = {
    os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS)
}
_COLUMNS = ("path", "duration_s", "recorded_at", "latitude", "longitude", "device", "metadata")  # of recordings


def export_windows(collection: CollectionFolder, entry: EncoderEntry, out: Path, format: CollectionFormat) -> int:
    """Write the windows of an encoder, as `export_parquet`, `export_lancedb` or `export_hoplite` say.

    Raises:
        ConfigError: an unknown format, or a library that is missing.
    """
    check_choice("format", format, CollectionFormat)
    write = {"parquet": export_parquet, "lancedb": export_lancedb, "hoplite": export_hoplite}[format]
    return write(collection, entry, out)


def export_parquet(collection: CollectionFolder, entry: EncoderEntry, out: Path) -> int:
    """Write one row a window: its recording's columns, start_s, end_s, and the vector as float32.

    ``metadata`` is a JSON object. The encoder is described in the schema's metadata, under ``axlstm``.

    Returns:
        the number of rows.

    Raises:
        ConfigError: a name that does not end with .parquet.
        WriteError: the disk is full or fails; an earlier file stays.
    """
    import pyarrow.parquet

    if out.suffix != ".parquet":
        raise ConfigError(f"{out}: expected a name that ends with .parquet")
    rows = 0
    with atomic_path(out) as temporary, pyarrow.parquet.ParquetWriter(temporary, window_schema(entry)) as writer:
        for batch in window_batches(collection, entry):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def export_lancedb(collection: CollectionFolder, entry: EncoderEntry, out: Path) -> int:
    """Write the rows of `export_parquet` as the table ``windows`` of a LanceDB database.

    Raises:
        ConfigError: lancedb is not installed, or the folder holds something already.
        WriteError: it cannot be written, or is not read as it was written.
    """
    lancedb = _import("lancedb", "lancedb")
    with writing(out), _their_disk_errors(), new_folder(out) as folder:
        return write_table(lancedb.connect(str(folder)), window_schema(entry), window_batches(collection, entry))


_VERDICTS = {"no": 0, "yes": 1, "unsure": 2}  # as perch-hoplite numbers them


def export_hoplite(collection: CollectionFolder, entry: EncoderEntry, out: Path) -> int:
    """Write a database of perch-hoplite 1: deployments, recordings, windows with vectors, and labels.

    A deployment is a ``site`` of the metadata, or else a folder.

    Raises:
        ConfigError: perch-hoplite is not installed, or the folder holds something already.
        WriteError: it cannot be written.
    """
    hoplite = _import("perch_hoplite.db.sqlite_usearch_impl", "hoplite")
    types = _import("perch_hoplite.db.datatypes", "hoplite")
    settings = _import("ml_collections.config_dict", "hoplite")
    runs = collection.rows(entry)
    used = {number for run in runs for number in np.unique(run.recording).tolist()}
    rows = 0
    with writing(out), _their_disk_errors(), new_folder(out) as folder:
        database = hoplite.SQLiteUSearchDB.create(str(folder), hoplite.get_default_usearch_config(entry.size))
        database.insert_metadata("model_config", settings.ConfigDict({"axlstm": json.loads(_about(entry))}))
        deployments: dict[str, int] = {}
        numbers: dict[int, int] = {}
        for row in (row for number, row in _read_recordings(collection).items() if number in used):
            latitude, longitude = row["latitude"], row["longitude"]
            site = collection.metadata_of(row["metadata"]).get("site") or str(PurePosixPath(row["path"]).parent)
            name = site if latitude is None else f"{site} at {latitude}, {longitude}"
            if name not in deployments:
                deployments[name] = database.insert_deployment(name, collection.folder.stem, latitude, longitude)
            moment = None if row["recorded_at"] is None else datetime.fromisoformat(row["recorded_at"])
            numbers[row["id"]] = database.insert_recording(row["path"], moment, deployments[name])
        for block in _blocks(runs):
            bounds = zip(block.recording.tolist(), block.start_s.tolist(), block.end_s.tolist(), strict=True)
            windows = [
                {"recording_id": numbers[recording], "offsets": [start, end]} for recording, start, end in bounds
            ]
            database.insert_windows_batch(windows, np.array(block.vectors), handle_duplicates="allow")
            rows += len(block)
        labels = (
            "SELECT recording, start_s, end_s, label, verdict, author FROM labels WHERE undone_at IS NULL ORDER BY id"
        )
        for recording, start, end, label, verdict, author in collection.tables.execute(labels):
            if recording in numbers and verdict in _VERDICTS:
                kind = types.LabelType(_VERDICTS[verdict])
                database.insert_annotation(numbers[recording], [start, end], label, kind, author, "allow")
        database.commit()
        database.db.close()
    return rows


@contextmanager
def _their_disk_errors() -> Iterator[None]:
    """Turn errors of the disk that LanceDB, SQLite and usearch report in their own ways into an `OSError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        kinds = {
            sqlite3.SQLITE_FULL: errno.ENOSPC,
            sqlite3.SQLITE_READONLY: errno.EACCES,
            sqlite3.SQLITE_CANTOPEN: errno.EACCES,
        }
        number = kinds.get(error.sqlite_errorcode & 0xFF, errno.EIO)
        raise OSError(number, os.strerror(number)) from error
    except RuntimeError as error:
        text, number = str(error), disk_error(error).errno or 0
        if text.startswith("Failed to serialize"):  # usearch does not say why
            number = errno.EIO
        number = number or _BY_TEXT.get(text, 0)
        if not number:
            raise
        raise OSError(number, os.strerror(number)) from error


def _import(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f'this format needs the extra {extra}: pip install "axlstm[{extra}]" ({error})') from error


def window_schema(entry: EncoderEntry) -> Any:
    """Return the columns of `window_batches`."""
    kinds = {
        "path": pa.string(),
        "start_s": pa.float64(),
        "end_s": pa.float64(),
        "duration_s": pa.float64(),
        "recorded_at": pa.string(),
        "latitude": pa.float64(),
        "longitude": pa.float64(),
        "device": pa.string(),
        "metadata": pa.string(),
        "vector": pa.list_(pa.float32(), entry.size),
    }
    return pa.schema(kinds, {"axlstm": _about(entry)})


def _about(entry: EncoderEntry) -> str:
    """Describe an encoder as a JSON object."""
    names = ("name", "source", "fingerprint", "window_s", "hop_s", "options")
    return json.dumps({"encoder": {name: getattr(entry, name) for name in names}})


def window_batches(collection: CollectionFolder, entry: EncoderEntry) -> Iterator[Any]:
    """Give all windows in use as record batches, in memory that does not grow with their number.

    The batches may be taken in another thread: the tables are read at once.
    """
    runs = collection.rows(entry)  # mapped, not read
    recordings = _read_recordings(collection)
    return (_batch(recordings, block, window_schema(entry)) for block in _blocks(runs))


def _read_recordings(collection: CollectionFolder) -> dict[int, sqlite3.Row]:
    """Read the columns of all recordings, those too that another process removes after their windows were mapped."""
    query = f"SELECT id, {', '.join(_COLUMNS)} FROM recordings ORDER BY id"
    return {row["id"]: row for row in collection.tables.execute(query)}


def _batch(recordings: Mapping[int, Any], block: Rows, schema: Any) -> Any:
    own = [recordings[number] for number in block.recording.tolist()]
    columns: dict[str, Any] = {name: pa.array([row[name] for row in own], schema.field(name).type) for name in _COLUMNS}
    columns["start_s"], columns["end_s"] = pa.array(block.start_s), pa.array(block.end_s)
    flat = pa.array(block.vectors.astype(np.float32).reshape(-1))
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, block.vectors.shape[1])
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _blocks(runs: Iterable[Rows]) -> Iterator[Rows]:
    for rows in runs:
        for begin in range(0, len(rows), _BLOCK_ROWS):
            yield rows.cut(begin, _BLOCK_ROWS)
