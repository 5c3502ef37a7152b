"""Read and write embeddings as npz: one array a column, the frames of all clips one after another."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.store.origin import ORIGIN_COLUMNS, RowKey, make_keys
from axlstm.store.records import PIECE_FRAMES, ClipRecord, StoreSettings

_BUFFER_BYTES = 1 << 25


def write(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write the records; their frames are never all in memory."""
    rows: list[ClipRecord] = []  # without their frames
    times: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
    offsets, written = [0], 0
    # The header of an array states how many rows it has, so the frames wait beside the file until that is known.
    with tempfile.SpooledTemporaryFile(max_size=_BUFFER_BYTES, dir=str(path.parent)) as frames:
        for record in records:
            if rows and rows[-1].key == record.key:
                rows.pop()
                offsets.pop()
            rows.append(replace(record, frames=None, timestamps_ms=None))
            if settings.frames:
                frames.write(np.ascontiguousarray(record.get("frames"), dtype="<f4").tobytes())
                times.append(record.get("timestamps_ms"))
                written += len(times[-1])
            offsets.append(written)
        columns: dict[str, Any] = {
            "settings": np.array(json.dumps(asdict(settings))),
            "model": np.array(settings.model),
            "fingerprint": np.array(settings.fingerprint),
            "path": np.array([record.path for record in rows], dtype=np.str_),
            "duration_s": np.array([record.duration_s for record in rows], dtype=np.float64),
        }
        for name, kind in ORIGIN_COLUMNS.items():
            values = [getattr(record.origin, name) for record in rows]
            columns[name] = np.array(values, dtype=np.int64 if kind is int else np.str_)
        if settings.scene:
            scenes = np.array([record.get("scene") for record in rows], dtype=np.float32)
            columns["scene"] = scenes.reshape(len(rows), settings.size)
        if settings.frames:
            columns |= {"timestamps_ms": np.concatenate(times), "frame_offsets": np.array(offsets)}
        # In one go: `zipfile` makes a new file of one that it is to add to and cannot open.
        with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
            for name, values in columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(values), allow_pickle=False)
            if settings.frames:
                frames.seek(0)
                header = {"descr": "<f4", "fortran_order": False, "shape": (offsets[-1], settings.frame_length)}
                with archive.open("frames.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_1_0(entry, header)
                    shutil.copyfileobj(frames, entry, _BUFFER_BYTES)


def read(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    """Read the settings at once and the clips in pieces of at most `PIECE_FRAMES`."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files if name != "frames"}
    settings = StoreSettings(**json.loads(str(columns["settings"])))

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
        with zipfile.ZipFile(path) as file, file.open("frames.npy") as frames:
            np.lib.format.read_magic(frames)
            np.lib.format.read_array_header_1_0(frames)
            for row, (begin, end) in zip(rows, pairwise(columns["frame_offsets"].tolist()), strict=True):
                for first in range(begin, end, PIECE_FRAMES):
                    times_ms = columns["timestamps_ms"][first : min(first + PIECE_FRAMES, end)]
                    content = frames.read(4 * len(times_ms) * settings.frame_length)
                    piece = np.frombuffer(content, dtype="<f4").reshape(len(times_ms), settings.frame_length)
                    yield replace(row, frames=piece, timestamps_ms=times_ms)

    return settings, records()


def read_keys(path: Path) -> list[RowKey]:
    """Read the path and the origin of each clip."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return _keys({name: file[name] for name in ("path", *ORIGIN_COLUMNS) if name in file.files})


def _keys(columns: Mapping[str, NDArray[Any]]) -> list[RowKey]:
    there = {name: columns[name].tolist() for name in ORIGIN_COLUMNS if name in columns}
    return make_keys(columns["path"].tolist(), there)
