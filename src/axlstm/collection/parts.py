"""Write and read parts: windows with their vectors, in files that never change.

A part is an Arrow IPC file with one record batch, uncompressed, so that it is mapped into memory and not read. Its
columns are ``recording`` (int64), ``start_s`` and ``end_s`` (float64), ``vector`` (a list of float16). The checksum of
the file is in the tables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from axlstm.errors import AudioError, DamageError
from axlstm.files import atomic_path, sync_folder, writing
from axlstm.seals import crc_of_path

_MOST_FLOAT16 = 65504.0
_MOST_IN_MEMORY = 1 << 26  # bytes of vectors that wait to be written


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


class Waiting:
    """Rows that wait to be written as one part: few of them in memory, many in a file that ends with the process.

    Args:
        size: of a vector.
        folder: where the file is made.
    """

    def __init__(self, size: int, folder: Path) -> None:
        self.size, self.folder = size, folder
        self.count = 0
        self._bytes = 0  # of the vectors in memory
        self._numbers: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = []
        self._vectors: list[NDArray[np.float16]] = []
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Waiting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, rows: Rows) -> None:
        """Put rows behind the ones that wait.

        Raises:
            WriteError: the disk is full or fails.
        """
        self._numbers.append((rows.recording.copy(), rows.start_s.copy(), rows.end_s.copy()))
        self._vectors.append(rows.vectors.copy())
        self.count += len(rows)
        self._bytes += rows.vectors.nbytes
        if self._bytes > _MOST_IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        with writing(self.folder):
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115
            for vectors in self._vectors:
                self._file.write(vectors.data)
            self._file.flush()
        self._vectors, self._bytes = [], 0

    def rows(self) -> Rows:
        """Return all that wait; they can be used until the block ends.

        Raises:
            WriteError: as `add`.
        """
        recording, start_s, end_s = (np.concatenate(numbers) for numbers in zip(*self._numbers, strict=True))
        if self._file is None:
            return Rows(recording, start_s, end_s, np.concatenate(self._vectors))
        self._spill()
        vectors: NDArray[np.float16] = np.memmap(self._file, np.float16, "r", shape=(self.count, self.size))
        return Rows(recording, start_s, end_s, vectors)


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
    with writing(path):
        sync_folder(path.parent)  # the tables will name it: its name must not be lost after theirs is kept
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
        told = f"{path}: damaged ({error}); delete it, and axlstm index embeds its recordings again"
        raise DamageError(told) from error
    return Rows(numbers[0], numbers[1], numbers[2], vectors)
