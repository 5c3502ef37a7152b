"""Write and read parts: windows with their vectors, in files that never change.

A part is an Arrow IPC file with one record batch, uncompressed, so that it is mapped into memory and not read. Its
columns are ``recording`` (int64), ``start_s`` and ``end_s`` (float64), ``vector`` (a list of float16). The checksum of
the file is in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from axlstm.errors import AudioError, DamageError
from axlstm.files import atomic_path
from axlstm.seals import crc_of_path

_MOST_FLOAT16 = 65504.0


@dataclass(frozen=True)
class Rows:
    """Windows of recordings: recording ``(n,)`` int64, start_s, end_s ``(n,)`` float64, vectors ``(n, D)`` float16."""

    recording: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    vectors: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.recording)

    def cut(self, first: int, rows: int) -> Rows:
        """Return some consecutive rows, as views."""
        chosen = slice(first, first + rows)
        return Rows(self.recording[chosen], self.start_s[chosen], self.end_s[chosen], self.vectors[chosen])


def join_rows(pieces: Iterable[Rows]) -> Rows:
    """Put rows one behind the other."""
    pieces = list(pieces)
    return Rows(
        np.concatenate([piece.recording for piece in pieces]),
        np.concatenate([piece.start_s for piece in pieces]),
        np.concatenate([piece.end_s for piece in pieces]),
        np.concatenate([piece.vectors for piece in pieces]),
    )


def to_float16(vectors: NDArray[np.float32], name: str) -> NDArray[np.float16]:
    """Round vectors ``(n, D)``.

    Raises:
        AudioError: values that are not finite, or beyond what float16 holds.
    """
    if not np.isfinite(vectors).all() or np.abs(vectors).max(initial=0) > _MOST_FLOAT16:
        raise AudioError(f"{name}: an embedding with values that are no numbers or beyond {_MOST_FLOAT16:g}")
    return vectors.astype(np.float16)


def write_part(path: Path, rows: Rows) -> str:
    """Write a part, complete or not at all, and return its CRC-32.

    Raises:
        WriteError: the disk is full or fails.
    """
    size = rows.vectors.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.vectors.reshape(-1)), size)
    columns = {
        "recording": pa.array(rows.recording, pa.int64()),
        "start_s": pa.array(rows.start_s, pa.float64()),
        "end_s": pa.array(rows.end_s, pa.float64()),
        "vector": vectors,
    }
    batch = pa.RecordBatch.from_pydict(columns)
    with atomic_path(path) as temporary, temporary.open("wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    return crc_of_path(path)


def map_part(path: Path, rows: int, size: int) -> Rows:
    """Map a part into memory; its values are read when they are used.

    Args:
        rows, size: of vectors, as the tables have them.

    Raises:
        DamageError: the part is not there, or not as it was written.
    """
    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            if reader.num_record_batches != 1:
                raise ValueError(f"{reader.num_record_batches} batches, expected 1")
            batch = reader.get_batch(0)
        if batch.num_rows != rows:
            raise ValueError(f"{batch.num_rows} rows, expected {rows}")
        kinds = {
            "recording": pa.int64(),
            "start_s": pa.float64(),
            "end_s": pa.float64(),
            "vector": pa.list_(pa.float16(), size),
        }
        if batch.schema != pa.schema(kinds):
            raise ValueError(f"columns {batch.schema.names} of other types than a part has")
        numbers = [batch.column(name).to_numpy(zero_copy_only=True) for name in ("recording", "start_s", "end_s")]
        vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=True).reshape(rows, size)
    except FileNotFoundError as error:
        raise DamageError(f"{path} is not there: copy the whole collection, or index its recordings again") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamageError(f"{path}: damaged ({error}); index its recordings again") from error
    return Rows(numbers[0], numbers[1], numbers[2], vectors)
