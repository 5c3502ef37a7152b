"""Read and write embeddings as parquet: one row a clip, or one row for each `PIECE_FRAMES` of a longer clip."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.store.origin import ORIGIN_COLUMNS, RowKey, make_keys
from axlstm.store.records import PIECE_FRAMES, ClipRecord, StoreSettings

_METADATA_KEY = b"axlstm"
_ROWS_PER_GROUP = 256


def write(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write the records, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    scene, frame = (pa.list_(pa.float32(), size) for size in (settings.size, settings.frame_length))
    texts = ["path", "model", "fingerprint", "place"]
    fields = [("path", pa.string()), ("duration_s", pa.float64()), ("model", pa.string()), ("fingerprint", pa.string())]
    fields += [(name, pa.int64() if kind is int else pa.string()) for name, kind in ORIGIN_COLUMNS.items()]
    fields += [("scene", scene)] if settings.scene else []
    fields += [("timestamps_ms", pa.list_(pa.float32())), ("frames", pa.list_(frame))] if settings.frames else []
    schema = pa.schema(fields, metadata={_METADATA_KEY: json.dumps(asdict(settings)).encode()})

    def vectors(rows: NDArray[np.float32], kind: Any) -> Any:
        return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=kind)

    def table(batch: list[ClipRecord]) -> Any:
        columns: dict[str, Any] = {
            "path": [record.path for record in batch],
            "duration_s": [record.duration_s for record in batch],
            "model": [settings.model] * len(batch),
            "fingerprint": [settings.fingerprint] * len(batch),
            **{name: [getattr(record.origin, name) for record in batch] for name in ORIGIN_COLUMNS},
        }
        if settings.scene:
            columns["scene"] = vectors(np.stack([record.get("scene") for record in batch]), scene)
        if settings.frames:
            frames = [record.get("frames") for record in batch]
            times = np.concatenate([record.get("timestamps_ms") for record in batch])
            offsets = pa.array(np.cumsum([0, *map(len, frames)], dtype=np.int32))
            columns["timestamps_ms"] = pa.ListArray.from_arrays(offsets, pa.array(times))
            vectors_of_frames = vectors(np.concatenate(frames), frame)
            columns["frames"] = pa.ListArray.from_arrays(offsets, vectors_of_frames, type=pa.list_(frame))
        return pa.table(columns, schema=schema)

    # A dictionary of numbers that hardly ever repeat costs ten times what writing them does.
    options = {"compression": "zstd", "use_dictionary": texts, "write_page_checksum": True}
    with pa.OSFile(os.fsencode(path), "w") as file, pq.ParquetWriter(file, schema, **options) as writer:
        for batch in _row_groups(records):
            writer.write_table(table(batch))


def _row_groups(records: Iterable[ClipRecord]) -> Iterator[list[ClipRecord]]:
    """Group records so that each group fits into memory."""
    batch: list[ClipRecord] = []
    frames = 0
    for record in records:
        batch.append(record)
        frames += 0 if record.frames is None else len(record.frames)
        if len(batch) == _ROWS_PER_GROUP or frames >= PIECE_FRAMES:
            yield batch
            batch, frames = [], 0
    if batch:
        yield batch


def read(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    """Read the settings at once and the rows one by one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.OSFile(os.fsencode(path)), page_checksum_verification=True)
    settings = StoreSettings(**json.loads(file.schema_arrow.metadata[_METADATA_KEY]))

    def records() -> Iterator[ClipRecord]:
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group).to_batches():
                yield from (record(batch, index, key) for index, key in enumerate(_keys(batch)))

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


def read_keys(path: Path) -> list[RowKey]:
    """Read the path and the origin of each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.OSFile(os.fsencode(path)) as opened:
        file = pq.ParquetFile(opened, page_checksum_verification=True)
        there = [name for name in ("path", *ORIGIN_COLUMNS) if name in file.schema_arrow.names]
        return _keys(file.read(columns=there))


def _keys(table: Any) -> list[RowKey]:
    columns = {name: table.column(name).to_pylist() for name in ORIGIN_COLUMNS if name in table.schema.names}
    return make_keys(table.column("path").to_pylist(), columns)
