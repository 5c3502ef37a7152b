"""Read and write embeddings as parquet: one row a clip, or one row for each `PIECE_FRAMES` of a longer clip.

A file of windows has one row a window.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from axlstm.bounds import MOST_PARQUET, check_parquet
from axlstm.seals import SEAL_BYTES, crc_of_file, is_seal, seal_of
from axlstm.store.origin import ORIGIN_COLUMNS, RowKey, key_runs, make_keys
from axlstm.store.records import PIECE_FRAMES, ClipRecord, StoreSettings

_METADATA_KEY = b"axlstm"
_CLIPS_PER_GROUP = 256
_END_BYTES = 8  # the length of the footer, and PAR1


def write(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write the records, a row group at a time."""
    with RowWriter(path, settings) as writer:
        for record in records:
            writer.add(record)


class RowWriter:
    """Writes records one after another, a row group at a time. The file is complete when its block ends."""

    def __init__(self, path: Path, settings: StoreSettings) -> None:
        self._path, self._settings = path, settings
        self._batch: list[ClipRecord] = []
        self._vectors = 0  # in the batch

    def __enter__(self) -> Self:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = _schema(self._settings)
        # A dictionary of numbers that hardly ever repeat costs ten times what writing them does.
        texts = ["path", "model", "fingerprint", "place"]
        options = {"compression": "zstd", "use_dictionary": texts, "write_page_checksum": True}
        with ExitStack() as opened:
            file = opened.enter_context(pa.OSFile(os.fsencode(self._path), "w"))
            self._file = opened.enter_context(pq.ParquetWriter(file, self._schema, **options))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._opened:
            if kind is None:
                self._write_group()
        if kind is None:
            seal(self._path)

    def add(self, record: ClipRecord) -> None:
        """Add a clip or a piece of one."""
        self._batch.append(record)
        self._vectors += record.windows + (0 if record.frames is None else len(record.frames))
        if len(self._batch) == _CLIPS_PER_GROUP or self._vectors >= PIECE_FRAMES:  # so that a group fits into memory
            self._write_group()

    def _write_group(self) -> None:
        if self._batch:
            self._file.write_table(_table(self._batch, self._settings, self._schema))
            self._batch, self._vectors = [], 0


def _schema(settings: StoreSettings) -> Any:
    import pyarrow as pa

    scene, frame = (pa.list_(pa.float32(), size) for size in (settings.size, settings.frame_length))
    fields = [("path", pa.string()), ("duration_s", pa.float64()), ("model", pa.string()), ("fingerprint", pa.string())]
    fields += [(name, pa.int64() if kind is int else pa.string()) for name, kind in ORIGIN_COLUMNS.items()]
    fields += [("start_s", pa.float64()), ("end_s", pa.float64())] if settings.windows else []
    fields += [("scene", scene)] if settings.scene else []
    fields += [("timestamps_ms", pa.list_(pa.float32())), ("frames", pa.list_(frame))] if settings.frames else []
    return pa.schema(fields, metadata={_METADATA_KEY: settings.to_json().encode()})


def _table(batch: list[ClipRecord], settings: StoreSettings, schema: Any) -> Any:
    import pyarrow as pa

    rows = [record for record in batch for _ in range(record.windows if settings.windows else 1)]
    columns = {
        "path": _texts([record.path for record in rows]),
        "duration_s": _numbers([record.duration_s for record in rows], np.float64),
        "model": _texts([settings.model] * len(rows)),
        "fingerprint": _texts([settings.fingerprint] * len(rows)),
    }
    for name, kind in ORIGIN_COLUMNS.items():
        facts = [getattr(record.origin, name) for record in rows]
        columns[name] = _numbers(facts, np.int64) if kind is int else _texts(facts)
    if settings.windows:
        for name in ("start_s", "end_s"):
            columns[name] = _numbers(np.concatenate([record.get(name) for record in batch]), np.float64)
        columns["scene"] = _vectors(np.concatenate([record.get("scene") for record in batch]))
    elif settings.scene:
        columns["scene"] = _vectors(np.stack([record.get("scene") for record in batch]))
    if settings.frames:
        frames = [record.get("frames") for record in batch]
        times = np.concatenate([record.get("timestamps_ms") for record in batch])
        offsets = _numbers(np.cumsum([0, *map(len, frames)]), np.int32)
        columns["timestamps_ms"] = pa.ListArray.from_arrays(offsets, _numbers(times, np.float32))
        vectors = _vectors(np.concatenate(frames))
        columns["frames"] = pa.ListArray.from_arrays(offsets, vectors, type=pa.list_(vectors.type))
    return pa.table(columns, schema=schema)


# Arrays of Arrow out of their buffers: `pyarrow.array` would first import pandas where it is installed, which takes
# 0.2 s and 40 MB.


def _numbers(values: Any, kind: DTypeLike) -> Any:
    import pyarrow as pa

    array = np.ascontiguousarray(values, kind)
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(array)])


def _texts(values: list[str]) -> Any:
    import pyarrow as pa

    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def _vectors(rows: NDArray[np.float32]) -> Any:
    import pyarrow as pa

    flat = _numbers(rows.reshape(-1), np.float32)
    return pa.FixedSizeListArray.from_arrays(flat, type=pa.list_(pa.float32(), rows.shape[1]))


def seal(path: Path) -> None:
    """Write the checksum of a parquet file into it, before its footer, where other readers do not look.

    Pages have checksums of their own, but their headers and the footer have none.
    """
    with path.open("rb+") as file:
        begin = _footer_begin(file)
        footer = file.read()
        file.seek(begin)
        file.write(seal_of(crc_of_file(file, 0, begin, zlib.crc32(footer))) + footer)


def check(path: Path, *, is_needed: bool = False) -> None:
    """Compare a parquet file with the checksum that `seal` wrote.

    Args:
        is_needed: whether a file without a checksum is refused; of embeddings, it is one of an earlier version.

    Raises:
        ValueError: the file is damaged.
    """
    with path.open("rb", buffering=0) as file:
        begin = _footer_begin(file)
        footer = file.read()
        file.seek(max(0, begin - SEAL_BYTES))
        found = file.read(SEAL_BYTES)
        if is_needed and not is_seal(found):
            raise ValueError("without the checksum that it was written with")
        if is_seal(found) and found != seal_of(crc_of_file(file, 0, begin - SEAL_BYTES, zlib.crc32(footer))):
            raise ValueError("its checksum is another one")


def _footer_begin(file: BinaryIO) -> int:
    """Find the first byte of a parquet file's footer, and go there."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_BYTES))
    begin = size - _END_BYTES - int.from_bytes(file.read(4), "little")
    if begin < len(b"PAR1"):
        raise ValueError("cut short, or no parquet file")
    return file.seek(begin)


def read(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    """Read the settings at once and the rows one by one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.OSFile(os.fsencode(path)), page_checksum_verification=True, **MOST_PARQUET)
    check_parquet(file.metadata, path.stat().st_size)
    settings = StoreSettings.from_json(file.schema_arrow.metadata[_METADATA_KEY])

    def records() -> Iterator[ClipRecord]:
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group).to_batches(PIECE_FRAMES):
                if settings.windows:
                    yield from windows(batch)
                else:
                    yield from (record(batch, index, key) for index, key in enumerate(_keys(batch)))

    def windows(batch: Any) -> Iterator[ClipRecord]:
        for key, run in key_runs(_keys(batch)):
            rows = batch.slice(run.start, run.stop - run.start)
            scene = rows.column("scene").flatten().to_numpy(zero_copy_only=False)
            yield ClipRecord(
                path=key[0],
                duration_s=rows.column("duration_s")[0].as_py(),
                scene=np.array(scene, dtype=np.float32).reshape(rows.num_rows, settings.size),
                origin=key[1],
                start_s=rows.column("start_s").to_numpy(zero_copy_only=False).astype(np.float64),
                end_s=rows.column("end_s").to_numpy(zero_copy_only=False).astype(np.float64),
            )

    def record(batch: Any, index: int, key: RowKey) -> ClipRecord:
        def flat(column: str, *shape: int) -> NDArray[np.float32]:
            value = batch.column(column)[index].values
            while hasattr(value, "flatten") and not str(value.type).startswith("float"):
                value = value.flatten()
            return np.array(value.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(shape)

        return ClipRecord(
            path=key[0],
            duration_s=batch.column("duration_s")[index].as_py(),
            scene=flat("scene", settings.size) if settings.scene else None,
            frames=flat("frames", -1, settings.frame_length) if settings.frames else None,
            timestamps_ms=flat("timestamps_ms", -1) if settings.frames else None,
            origin=key[1],
        )

    return settings, records()


def read_keys(path: Path) -> Iterator[RowKey]:
    """Read the path and the origin of each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.OSFile(os.fsencode(path)) as opened:
        file = pq.ParquetFile(opened, page_checksum_verification=True, **MOST_PARQUET)
        check_parquet(file.metadata, path.stat().st_size)
        there = [name for name in ("path", *ORIGIN_COLUMNS) if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=there):
            yield from _keys(batch)


def _keys(table: Any) -> list[RowKey]:
    columns = {name: table.column(name).to_pylist() for name in ORIGIN_COLUMNS if name in table.schema.names}
    return make_keys(table.column("path").to_pylist(), columns)
