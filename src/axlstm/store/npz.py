"""Read and write embeddings as npz: one array a column, the frames of all clips one after another.

A file of windows has a row for each window in every column.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import check_zip, read_npy, read_npy_header
from axlstm.errors import name_some
from axlstm.store.origin import ORIGIN_COLUMNS, RowKey, key_runs, make_keys
from axlstm.store.records import PIECE_FRAMES, ClipRecord, StoreSettings

_BUFFER_BYTES = 1 << 25


def write(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write the records; their frames or windows are never all in memory."""
    rows: list[ClipRecord] = []  # one a clip, without what it has many of
    times: dict[str, list[NDArray[Any]]] = {}
    many, length = "", 0  # the vectors that a clip has many of, and the length of one
    if settings.frames:
        many, length, times = "frames", settings.frame_length, {"timestamps_ms": [np.empty(0, np.float32)]}
    elif settings.windows:
        many, length, times = "scene", settings.size, {name: [np.empty(0)] for name in ("start_s", "end_s")}
    without: dict[str, Any] = dict.fromkeys([many, *times])
    offsets, written = [0], 0
    # The header of an array states how many rows it has, so the vectors wait beside the file until that is known.
    with tempfile.SpooledTemporaryFile(max_size=_BUFFER_BYTES, dir=str(path.parent)) as vectors:
        for record in records:
            if rows and rows[-1].key == record.key:
                rows.pop()
                offsets.pop()
            rows.append(replace(record, **without) if many else record)
            if many:
                vectors.write(np.ascontiguousarray(record.get(many), dtype="<f4").tobytes())
                written += len(record.get(many))
            for name, pieces in times.items():
                pieces.append(record.get(name))
            offsets.append(written)
        about = {"settings": settings.to_json(), "model": settings.model, "fingerprint": settings.fingerprint}
        clips = _clip_columns(rows)
        if settings.scene and not settings.windows:
            scenes = np.array([record.get("scene") for record in rows], dtype=np.float32)
            clips["scene"] = scenes.reshape(len(rows), settings.size)
        of_many = {name: np.concatenate(pieces) for name, pieces in times.items()}
        if settings.frames:
            of_many["frame_offsets"] = np.array(offsets)
        repeats = np.diff(offsets).tolist() if settings.windows else None
        # In one go: `zipfile` makes a new file of one that it is to add to and cannot open.
        with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
            for name, text in about.items():
                _write(archive, name, np.array(text))
            for name, values in clips.items():
                _write(archive, name, values, repeats)
            for name, values in of_many.items():
                _write(archive, name, values)
            if many:
                vectors.seek(0)
                header = {"descr": "<f4", "fortran_order": False, "shape": (written, length)}
                with archive.open(f"{many}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_1_0(entry, header)
                    shutil.copyfileobj(vectors, entry, _BUFFER_BYTES)


def _clip_columns(rows: Sequence[ClipRecord]) -> dict[str, NDArray[Any]]:
    """Make arrays of what is known of each clip."""
    columns: dict[str, NDArray[Any]] = {
        "path": np.array([record.path for record in rows], dtype=np.str_),
        "duration_s": np.array([record.duration_s for record in rows], dtype=np.float64),
    }
    for name, kind in ORIGIN_COLUMNS.items():
        values = [getattr(record.origin, name) for record in rows]
        columns[name] = np.array(values, dtype=np.int64 if kind is int else np.str_)
    return columns


def _write(archive: zipfile.ZipFile, name: str, values: NDArray[Any], repeats: Sequence[int] | None = None) -> None:
    """Write an array, each value of it ``repeats`` times; so many may not fit into memory."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
        if repeats is None:
            np.lib.format.write_array(entry, values, allow_pickle=False)
            return
        header = np.lib.format.header_data_from_array_1_0(values) | {"shape": (sum(repeats),)}
        np.lib.format.write_array_header_1_0(entry, header)
        for index, count in enumerate(repeats):
            entry.write(values[index : index + 1].repeat(count).tobytes())


def check(path: Path) -> None:
    """Compare every array with its checksum, which zip files have.

    Raises:
        ValueError: an array is damaged.
    """
    with _archive(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} is another one")


def _archive(path: Path) -> zipfile.ZipFile:
    """Open a file of arrays that are no larger than it says."""
    archive = zipfile.ZipFile(path)
    try:
        check_zip(archive, path.stat().st_size)
    except BaseException:
        archive.close()
        raise
    return archive


def _column(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as stream:
        return read_npy(stream, entry.file_size)


def _read_rows(archive: zipfile.ZipFile, names: Iterable[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Read columns of one length, `PIECE_FRAMES` rows at a time."""
    with ExitStack() as opened:
        columns = {}
        for name in names:
            entry = archive.getinfo(f"{name}.npy")
            stream = opened.enter_context(archive.open(entry))
            columns[name] = (stream, *read_npy_header(stream, entry.file_size)[:3])
        lengths = {shape[:1] for _, shape, _, _ in columns.values()}
        if len(lengths) != 1 or any(fortran or 0 in shape[1:] for _, shape, fortran, _ in columns.values()):
            raise ValueError(f"columns of {name_some(str(shape) for _, shape, _, _ in columns.values())}")
        ((rows,),) = lengths
        for first in range(0, rows, PIECE_FRAMES):
            count = min(PIECE_FRAMES, rows - first)
            yield {
                name: np.frombuffer(stream.read(count * math.prod(shape[1:]) * kind.itemsize), kind).reshape(
                    count, *shape[1:]
                )
                for name, (stream, shape, _, kind) in columns.items()
            }


def read(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    """Read the settings at once and the clips in pieces of at most `PIECE_FRAMES`."""
    with _archive(path) as archive:
        settings = StoreSettings.from_json(str(_column(archive, "settings")))
        if settings.windows:
            return settings, _read_windows(path, settings)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        columns = {name: _column(archive, name) for name in names if name != "frames"}

    def records() -> Iterator[ClipRecord]:
        scenes = columns["scene"] if settings.scene else [None] * len(columns["path"])
        durations = columns["duration_s"].tolist()
        rows = (
            ClipRecord(name, duration_s, scene, origin=origin)
            for (name, origin), duration_s, scene in zip(_keys(columns), durations, scenes, strict=True)
        )
        if not settings.frames:
            yield from rows
            return
        with _archive(path) as archive, archive.open("frames.npy") as frames:
            shape, _, kind, _ = read_npy_header(frames, archive.getinfo("frames.npy").file_size)
            offsets = columns["frame_offsets"].tolist()
            if shape != (offsets[-1], settings.frame_length) or kind != np.float32 or offsets != sorted(offsets):
                raise ValueError(
                    f"frames {shape} of {kind}, expected {(offsets[-1], settings.frame_length)} of float32"
                )
            for row, (begin, end) in zip(rows, pairwise(offsets), strict=True):
                for first in range(begin, end, PIECE_FRAMES):
                    times_ms = columns["timestamps_ms"][first : min(first + PIECE_FRAMES, end)]
                    content = frames.read(4 * len(times_ms) * settings.frame_length)
                    piece = np.frombuffer(content, dtype="<f4").reshape(len(times_ms), settings.frame_length)
                    yield replace(row, frames=piece, timestamps_ms=times_ms)

    return settings, records()


def _read_windows(path: Path, settings: StoreSettings) -> Iterator[ClipRecord]:
    with _archive(path) as archive:
        for chunk in _read_rows(archive, ("path", "duration_s", *ORIGIN_COLUMNS, "start_s", "end_s", "scene")):
            scene = chunk["scene"]
            kinds = [chunk[name].dtype for name in ("duration_s", "start_s", "end_s")]
            if scene.shape[1:] != (settings.size,) or scene.dtype != np.float32 or kinds != [np.float64] * 3:
                raise ValueError(f"scene {scene.shape} of {scene.dtype} and times of {kinds}")
            for (name, origin), rows in key_runs(_keys(chunk)):
                yield ClipRecord(
                    path=name,
                    duration_s=float(chunk["duration_s"][rows.start]),
                    scene=scene[rows],
                    origin=origin,
                    start_s=chunk["start_s"][rows],
                    end_s=chunk["end_s"][rows],
                )


def read_keys(path: Path) -> Iterator[RowKey]:
    """Read the path and the origin of each row."""
    with _archive(path) as archive:
        there = [name for name in ("path", *ORIGIN_COLUMNS) if f"{name}.npy" in archive.namelist()]
        for chunk in _read_rows(archive, there):
            yield from _keys(chunk)


def _keys(columns: Mapping[str, NDArray[Any]]) -> list[RowKey]:
    there = {name: columns[name].tolist() for name in ORIGIN_COLUMNS if name in columns}
    return make_keys(columns["path"].tolist(), there)
