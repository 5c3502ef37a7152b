"""Embeddings as npz: one array a column, the frames of all clips one after another."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

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
            if rows and rows[-1].path == record.path:
                rows.pop()
                offsets.pop()
            rows.append(ClipRecord(record.path, record.duration_s, record.scene))
            if settings.frames:
                frames.write(np.ascontiguousarray(record.get("frames"), dtype="<f4").tobytes())
                times.append(record.get("timestamps_ms"))
                written += len(times[-1])
            offsets.append(written)
        with zipfile.ZipFile(path, "w") as file:
            _add_array(file, "settings", np.array(json.dumps(asdict(settings))))
            _add_array(file, "model", np.array(settings.model))
            _add_array(file, "fingerprint", np.array(settings.fingerprint))
            _add_array(file, "path", np.array([record.path for record in rows], dtype=np.str_))
            _add_array(file, "duration_s", np.array([record.duration_s for record in rows], dtype=np.float64))
            if settings.scene:
                scenes = [record.get("scene") for record in rows]
                _add_array(file, "scene", np.array(scenes, dtype=np.float32).reshape(len(rows), settings.size))
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


def read(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    """Read the settings at once and the clips in pieces of at most `PIECE_FRAMES`."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files if name != "frames"}
    settings = StoreSettings(**json.loads(str(columns["settings"])))

    def records() -> Iterator[ClipRecord]:
        with zipfile.ZipFile(path) as file:
            if settings.frames:
                with file.open("frames.npy") as entry:
                    np.lib.format.read_magic(entry)
                    np.lib.format.read_array_header_1_0(entry)
                    yield from pieces(entry)
            else:
                yield from pieces(None)

    def pieces(frames: IO[bytes] | None) -> Iterator[ClipRecord]:
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
                piece = np.frombuffer(content, dtype="<f4").reshape(len(times_ms), settings.frame_length)
                yield replace(row, frames=piece, timestamps_ms=times_ms)

    return settings, records()


def read_paths(path: Path) -> list[str]:
    """Read the path of each clip."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return [str(name) for name in file["path"]]
