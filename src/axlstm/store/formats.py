"""Embeddings of many clips as one file: parquet, npz or csv."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import AxlstmError, ConfigError
from axlstm.files import atomic_path

_METADATA_KEY = b"axlstm"
PIECE_FRAMES = 15_000  # ten minutes: a longer clip's frames are never in memory all at once


@dataclass(frozen=True)
class StoreSettings:
    """What all clips of one file share: who computed them, and what is kept of each.

    ``size`` is that of the scene embedding, if it is kept, and of a frame, unless ``frame_size`` says otherwise.
    """

    model: str
    fingerprint: str
    size: int
    scene: bool = True
    frames: bool = False
    frame_size: int | None = None

    def __post_init__(self) -> None:
        if not (self.scene or self.frames):
            raise ConfigError("nothing to keep: ask for scene embeddings, frame embeddings or both")

    @property
    def frame_length(self) -> int:
        """Numbers in a frame."""
        return self.frame_size or self.size


@dataclass(frozen=True)
class ClipRecord:
    """One clip's row: scene ``(size,)``, frames ``(T, frame_length)``, timestamps_ms ``(T,)``; None if not kept.

    A long clip may also be in pieces: consecutive records of one path, with some of the frames each. To be written
    as npz, which is a row a clip, only the last of them has to hold the scene.
    """

    path: str
    duration_s: float
    scene: NDArray[np.float32] | None = None
    frames: NDArray[np.float32] | None = None
    timestamps_ms: NDArray[np.float32] | None = None


def check_format(path: Path, settings: StoreSettings) -> None:
    """Refuse what the file's format cannot hold.

    Raises:
        ConfigError: a suffix that is no known format, or csv for scenes and frames together.
    """
    if path.suffix not in _WRITERS:
        raise ConfigError(f"{path}: expected a name that ends with {', '.join(_WRITERS)}")
    if path.suffix == ".csv" and settings.scene and settings.frames:
        raise ConfigError(f"{path}: csv holds scene or frame embeddings, not both; choose .parquet or .npz")


def write_records(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write clips, or pieces of them, to ``path``, in the format of its suffix: it is either complete or absent."""
    check_format(path, settings)
    with atomic_path(path) as temporary:
        _WRITERS[path.suffix](temporary, settings, records)


def read_settings(path: Path) -> StoreSettings:
    """The settings of a file that `write_records` wrote.

    Raises:
        AxlstmError: a file that it did not write.
    """
    return _guarded(path, lambda: _READERS[path.suffix](path)[0])


def read_pieces(path: Path) -> Iterator[ClipRecord]:
    """The clips of a file that `write_records` wrote, in order, those with more than `PIECE_FRAMES` in pieces.

    Raises:
        AxlstmError: a file that it did not write.
    """
    return _guarded(path, lambda: _READERS[path.suffix](path)[1])


def read_records(path: Path) -> Iterator[ClipRecord]:
    """The clips of a file that `write_records` wrote, in order, each as a whole.

    Raises:
        AxlstmError: a file that it did not write.
    """
    return (_joined(list(pieces)) for _, pieces in groupby(read_pieces(path), lambda piece: piece.path))


def read_paths(path: Path) -> list[str]:
    """The paths of the clips of a file that `write_records` wrote, without reading the embeddings.

    Raises:
        AxlstmError: a file that it did not write.
    """
    names = _guarded(path, lambda: _PATHS[path.suffix](path))
    return [name for name, _ in groupby(names)]


def _joined(pieces: list[ClipRecord]) -> ClipRecord:
    last = pieces[-1]
    if len(pieces) == 1 or last.frames is None:
        return last
    frames = np.concatenate([_given(piece.frames) for piece in pieces])
    times_ms = np.concatenate([_given(piece.timestamps_ms) for piece in pieces])
    return ClipRecord(last.path, last.duration_s, last.scene, frames, times_ms)


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever the three libraries raise at a file that is not theirs
        raise AxlstmError(f"{path}: not a file of embeddings that axlstm wrote ({error})") from error


# --- parquet: a row a clip, or, of a clip with more frames, a row for each PIECE_FRAMES ----------------------------

_ROWS_PER_GROUP = 256


def _write_parquet(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    scene, frame = (pa.list_(pa.float32(), size) for size in (settings.size, settings.frame_length))
    fields = [("path", pa.string()), ("duration_s", pa.float64())]
    fields += [("model", pa.string()), ("fingerprint", pa.string())]
    fields += [("scene", scene)] if settings.scene else []
    fields += [("timestamps_ms", pa.list_(pa.float32())), ("frames", pa.list_(frame))] if settings.frames else []
    schema = pa.schema(fields, metadata={_METADATA_KEY: json.dumps(asdict(settings)).encode()})

    def vectors(rows: NDArray[np.float32], kind: Any) -> Any:
        return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=kind)

    def lists(values: Any, lengths: list[int], kind: Any) -> Any:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), values, type=kind)

    def table(batch: list[ClipRecord]) -> Any:
        columns: dict[str, Any] = {
            "path": [record.path for record in batch],
            "duration_s": [record.duration_s for record in batch],
            "model": [settings.model] * len(batch),
            "fingerprint": [settings.fingerprint] * len(batch),
        }
        if settings.scene:
            columns["scene"] = vectors(np.stack([_given(record.scene) for record in batch]), scene)
        if settings.frames:
            frames = [_given(record.frames) for record in batch]
            times = np.concatenate([_given(record.timestamps_ms) for record in batch])
            lengths = [len(one) for one in frames]
            columns["timestamps_ms"] = lists(pa.array(times), lengths, pa.list_(pa.float32()))
            columns["frames"] = lists(vectors(np.concatenate(frames), frame), lengths, pa.list_(frame))
        return pa.table(columns, schema=schema)

    # A dictionary of numbers that hardly ever repeat costs ten times what writing them does.
    texts = [name for name, kind in fields if kind == pa.string()]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=texts) as writer:
        for batch in _row_groups(records):
            writer.write_table(table(batch))


def _row_groups(records: Iterable[ClipRecord]) -> Iterator[list[ClipRecord]]:
    """Records in groups that are small enough to be held in memory."""
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


def _read_parquet(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    settings = StoreSettings(**json.loads(file.schema_arrow.metadata[_METADATA_KEY]))

    def records() -> Iterator[ClipRecord]:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_batches():
                for index in range(row.num_rows):
                    yield record(row, index)

    def record(row: Any, index: int) -> ClipRecord:
        def flat(column: str, *shape: int) -> NDArray[np.float32]:
            value = row.column(column)[index].values
            while hasattr(value, "flatten") and not str(value.type).startswith("float"):
                value = value.flatten()
            return np.array(value.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(shape)

        return ClipRecord(
            path=row.column("path")[index].as_py(),
            duration_s=row.column("duration_s")[index].as_py(),
            scene=flat("scene", settings.size) if settings.scene else None,
            frames=flat("frames", -1, settings.frame_length) if settings.frames else None,
            timestamps_ms=flat("timestamps_ms", -1) if settings.frames else None,
        )

    return settings, records()


def _parquet_paths(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    names: list[str] = pq.read_table(path, columns=["path"])["path"].to_pylist()
    return names


# --- npz: an array a column, frames of all clips one after another -----------------------------------------------

_BUFFER_BYTES = 1 << 25


def _write_npz(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    rows: list[ClipRecord] = []  # without their frames
    times: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
    offsets, written = [0], 0
    # The header of an array states how many rows it has, so the frames wait beside the file until that is known.
    with tempfile.SpooledTemporaryFile(max_size=_BUFFER_BYTES, dir=str(path.parent)) as frames:
        for record in records:
            if rows and rows[-1].path == record.path:
                rows.pop()
                offsets.pop()
            rows.append(ClipRecord(record.path, record.duration_s, record.scene))
            if settings.frames:
                frames.write(np.ascontiguousarray(_given(record.frames), dtype="<f4").tobytes())
                times.append(_given(record.timestamps_ms))
                written += len(times[-1])
            offsets.append(written)
        with zipfile.ZipFile(path, "w") as file:
            _add_array(file, "settings", np.array(json.dumps(asdict(settings))))
            _add_array(file, "model", np.array(settings.model))
            _add_array(file, "fingerprint", np.array(settings.fingerprint))
            _add_array(file, "path", np.array([record.path for record in rows], dtype=np.str_))
            _add_array(file, "duration_s", np.array([record.duration_s for record in rows], dtype=np.float64))
            if settings.scene:
                _add_array(file, "scene", _stacked([_given(record.scene) for record in rows], settings.size))
            if settings.frames:
                _add_array(file, "timestamps_ms", np.concatenate(times))
                _add_array(file, "frame_offsets", np.array(offsets))
                frames.seek(0)
                with file.open("frames.npy", "w", force_zip64=True) as entry:
                    shape = (offsets[-1], settings.frame_length)
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(entry, header)
                    shutil.copyfileobj(frames, entry, _BUFFER_BYTES)


def _add_array(file: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
        np.lib.format.write_array(entry, values, allow_pickle=False)


def _read_npz(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files if name != "frames"}
    settings = StoreSettings(**json.loads(str(columns["settings"])))

    def records() -> Iterator[ClipRecord]:
        with zipfile.ZipFile(path) as file:
            if settings.frames:
                with file.open("frames.npy") as entry:
                    np.lib.format.read_magic(entry)
                    np.lib.format.read_array_header_1_0(entry)
                    yield from rows(entry)
            else:
                yield from rows(None)

    def rows(frames: IO[bytes] | None) -> Iterator[ClipRecord]:
        for index, name in enumerate(columns["path"]):
            row = ClipRecord(
                path=str(name),
                duration_s=float(columns["duration_s"][index]),
                scene=columns["scene"][index] if settings.scene else None,
            )
            if frames is None:
                yield row
                continue
            begin, end = columns["frame_offsets"][index : index + 2]
            for first in range(begin, end, PIECE_FRAMES):
                times_ms = columns["timestamps_ms"][first : min(first + PIECE_FRAMES, end)]
                content = frames.read(4 * len(times_ms) * settings.frame_length)
                piece = np.frombuffer(content, dtype="<f4").reshape(-1, settings.frame_length)
                yield replace(row, frames=piece, timestamps_ms=times_ms)

    return settings, records()


def _npz_paths(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as file:
        return [str(name) for name in file["path"]]


# --- csv: a row a clip (scene) or a row a frame (frames) ---------------------------------------------------------


def _write_csv(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    columns = ["path", "duration_s", "model", "fingerprint"] + (["timestamp_ms"] if settings.frames else [])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns + [f"e{index}" for index in range(settings.size)])
        for record in records:
            head = [record.path, record.duration_s, settings.model, settings.fingerprint]
            if settings.scene:
                writer.writerow(head + [str(value) for value in _given(record.scene)])
            else:
                for time_ms, frame in zip(_given(record.timestamps_ms), _given(record.frames), strict=True):
                    writer.writerow([*head, str(time_ms), *map(str, frame)])


def _read_csv(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    with path.open(newline="") as file:
        header = next(csv.reader(file))
        first = next(csv.DictReader(file, header), None)
    if header[:4] != ["path", "duration_s", "model", "fingerprint"] or first is None:
        raise ValueError("the columns differ, or there are no rows")
    frames = "timestamp_ms" in header
    size = sum(name.startswith("e") and name[1:].isdigit() for name in header)
    settings = StoreSettings(first["model"], first["fingerprint"], size, scene=not frames, frames=frames)

    def records() -> Iterator[ClipRecord]:
        with path.open(newline="") as file:
            rows = csv.reader(file)
            next(rows)
            if not frames:
                for row in rows:
                    yield ClipRecord(row[0], float(row[1]), scene=np.array(row[4:], dtype=np.float32))
                return
            for (name, duration_s), clip in groupby(rows, lambda row: (row[0], row[1])):
                numbers = (np.array(row[4:], dtype=np.float32) for row in clip)  # (1 + F,) each
                while piece := list(islice(numbers, PIECE_FRAMES)):
                    values = np.stack(piece)
                    yield ClipRecord(name, float(duration_s), frames=values[:, 1:], timestamps_ms=values[:, 0])

    return settings, records()


def _csv_paths(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [name for name, _ in groupby(row["path"] for row in csv.DictReader(file))]


_WRITERS = {".parquet": _write_parquet, ".npz": _write_npz, ".csv": _write_csv}
_READERS = {".parquet": _read_parquet, ".npz": _read_npz, ".csv": _read_csv}
_PATHS = {".parquet": _parquet_paths, ".npz": _npz_paths, ".csv": _csv_paths}


def _given(value: NDArray[np.float32] | None) -> NDArray[np.float32]:
    assert value is not None
    return value


def _stacked(rows: list[NDArray[np.float32]], size: int) -> NDArray[np.float32]:
    return np.stack(rows) if rows else np.empty((0, size), np.float32)
