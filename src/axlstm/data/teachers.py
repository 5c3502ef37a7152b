"""Keep a frozen encoder's embeddings of every record of a folder of shards, and make the targets of crops of them.

A folder has a file for each shard, ``SHARD.safetensors``: ``embeddings (all frames, D)`` float16, and ``counts
(records,)``, the frames of each record; a record that the encoder could not embed has none. Frame ``i`` of a record
lies at ``first_ms + i * hop_ms``. ``teacher.json`` appears when all is done.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from axlstm.audio.frontend import FrontendConfig
from axlstm.bounds import MOST_LIST_BYTES, check_types, parse_json, parse_object
from axlstm.data.shards import ShardSet
from axlstm.errors import DamageError, DataError, first_line, name_differences
from axlstm.files import read_at, write_atomically
from axlstm.model.config import ModelConfig
from axlstm.seals import OBJECT_KEY, object_is_whole, seal_object

TEACHER_NAME = "teacher.json"
FORMAT_VERSION = 1
_TABLE_CRC = "table_crc32"
MOST_FLOAT16 = 65504.0
_STATISTICS = ("mean", "deviation", "clip_deviation")
_INDEX: dict[str, type | tuple[type, ...]] = {
    "settings": dict,
    "size": int,
    "first_ms": float,
    "hop_ms": float,
    **dict.fromkeys(_STATISTICS, list),
}
_DEAD = 1e-6  # a channel whose deviation is below this share of the largest says nothing


@dataclass(frozen=True)
class TaughtShard:
    """The embeddings of one shard: where they lie in the file, frames by record, and what they were made with."""

    path: Path
    begin: int  # first byte of the embeddings
    size: int
    counts: NDArray[np.int64]
    crcs: NDArray[np.uint32] | None  # of each record's embeddings; files of earlier versions have none
    settings: dict[str, Any]
    timing: tuple[float, float] | None  # first_ms and hop_ms; None where no record has two frames
    skipped: list[dict[str, Any]]


def shard_file(folder: Path, shard: Path) -> Path:
    """Return the file with the embeddings of a shard's records."""
    return folder / f"{shard.stem}.safetensors"


def write_taught_shard(
    path: Path,
    embeddings: NDArray[np.float16],
    counts: NDArray[np.int64],
    settings: Mapping[str, Any],
    timing: tuple[float, float] | None,
    skipped: list[dict[str, Any]],
) -> None:
    """Write the file of one shard, complete or not at all."""
    parts = np.split(embeddings, np.cumsum(counts)[:-1].astype(np.int64))  # (frames, D) of each record
    crcs = np.array([zlib.crc32(part.tobytes()) for part in parts], dtype=np.uint32)
    notes = {"shard": path.stem, "settings": dict(settings), "timing": timing, "skipped": skipped}
    notes |= {_TABLE_CRC: _table_crc(counts, crcs)}
    tensors: dict[str, NDArray[Any]] = {"embeddings": embeddings, "counts": counts, "crcs": crcs}
    content = save(tensors, {"teacher": json.dumps(seal_object(notes))})
    write_atomically(path, content)


def _table_crc(counts: NDArray[np.int64], crcs: NDArray[np.uint32]) -> str:
    return f"{zlib.crc32(crcs.tobytes(), zlib.crc32(counts.tobytes())):08x}"


def read_taught_shard(path: Path) -> TaughtShard:
    """Read all but the embeddings of a shard's file.

    Raises:
        DataError: a file that is missing, cut short, or of another kind.
    """
    again = "run axlstm teach again"
    try:
        with safe_open(path, framework="np") as file:  # checks that nothing is missing
            notes = parse_object(file.metadata()["teacher"], MOST_LIST_BYTES)
            if not object_is_whole(notes):
                raise ValueError("its checksum is another one")
            if notes.get("shard", path.stem) != path.stem:
                raise ValueError(f"it holds embeddings of {notes['shard']!r:.100}")
            frames, size = file.get_slice("embeddings").get_shape()
            kind = file.get_slice("embeddings").get_dtype()
            counts = file.get_tensor("counts")
            crcs = file.get_tensor("crcs") if "crcs" in file.keys() else None  # noqa: SIM118 (not a mapping)
            if _TABLE_CRC in notes and (crcs is None or _table_crc(counts, crcs) != notes[_TABLE_CRC]):
                raise ValueError("the checksum of its counts is another one")
            timing = None if notes["timing"] is None else (float(notes["timing"][0]), float(notes["timing"][1]))
            settings, skipped = notes["settings"], notes["skipped"]
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            begin = 8 + length + parse_json(raw.read(length), MOST_LIST_BYTES)["embeddings"]["data_offsets"][0]
    except FileNotFoundError as error:
        raise DataError(f"{path}: this file of embeddings is missing; {again}") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: cut short or damaged ({error}); remove it and {again}") from error
    if counts.dtype != np.int64 or counts.ndim != 1 or (counts < 0).any():
        raise DataError(f"{path}: damaged: impossible counts of embeddings; remove it and {again}")
    if crcs is not None and (crcs.dtype != np.uint32 or crcs.shape != counts.shape):
        raise DataError(f"{path}: damaged: impossible checksums of embeddings; remove it and {again}")
    if kind != "F16" or counts.sum() != frames:
        raise DataError(f"{path}: {frames} embeddings of type {kind}, but its records have {counts.sum()} in float16")
    return TaughtShard(path, begin, size, counts, crcs, settings, timing, skipped)


def find_fault(path: Path) -> str:
    """Say what is wrong with a shard's file of embeddings; nothing if all of it is as it was written."""
    try:
        file = read_taught_shard(path)
    except DataError as error:
        return str(error)
    if file.crcs is None:
        return ""
    with path.open("rb") as raw:
        raw.seek(file.begin)
        rows = zip(file.counts.tolist(), file.crcs.tolist(), strict=True)
        whole = all(zlib.crc32(raw.read(2 * file.size * count)) == crc for count, crc in rows)
    return "" if whole else f"{path}: damaged: a checksum is another one"


def read_teacher_index(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's ``teacher.json``.

    Raises:
        DataError: no such file, one that cannot be read, or one of a newer version.
    """
    path = folder / TEACHER_NAME
    if not path.is_file():
        raise DataError(
            f"{folder}: no {TEACHER_NAME}, so no complete embeddings of a teacher; run "
            f"axlstm teach SHARDS --with ENCODER -o {folder} to its end"
        )
    try:
        index = parse_object(path.read_bytes())
        if not object_is_whole(index):
            raise ValueError("its checksum is another one")
        index.pop(OBJECT_KEY, None)
        check_types(index, _INDEX)
        check_types(index["settings"], {"format_version": int, "shards": dict})
        if not all(type(value) is float for name in _STATISTICS for value in index[name]):
            raise ValueError("statistics that are no numbers")
        if any(len(index[name]) != index["size"] for name in _STATISTICS):
            raise ValueError(f"statistics of other than {index['size']} channels")
        version = index["settings"]["format_version"]
    except (ValueError, RecursionError) as error:
        raise DamageError(
            f"{path}: not the description of a teacher that can be read ({first_line(error)}); run the same axlstm "
            "teach again to have it made anew"
        ) from error
    if version > FORMAT_VERSION:
        raise DataError(f"{path}: format_version {version} is above {FORMAT_VERSION}; install a newer axlstm")
    return index


class CropTargets(NamedTuple):
    """A teacher's targets of one crop, standardised: ``frames (grid_frames, D)``, their mean ``clip (D,)`` float32.

    ``present`` is false, and all targets zero, where the teacher has nothing of the record.
    """

    frames: NDArray[np.float32]
    clip: NDArray[np.float32]
    present: bool


class Teacher:
    """Embeddings of one split, as targets of crops.

    Raises:
        DataError: a folder that is incomplete or damaged, or that was made from other shards; statistics that are not
            finite; files that differ in hop or encoder.
    """

    def __init__(self, folder: Path, shards: ShardSet) -> None:
        self._open: dict[int, BinaryIO] = {}
        index = read_teacher_index(folder)
        there = index["settings"]["shards"].get(shards.split)
        if there != shards.fingerprint:
            raise DataError(
                f"{folder}: its embeddings are of other shards than those in {shards.directory} ({shards.split}); give "
                f"axlstm teach these, with another folder to write to"
            )
        self.folder, self.index, self.size = folder, index, int(index["size"])
        self._first_ms, self._hop_ms = float(index["first_ms"]), float(index["hop_ms"])
        self._shards = shards
        self._files = [read_taught_shard(shard_file(folder, shard)) for shard in shards.shards]
        for file, records in zip(self._files, np.diff(shards.starts), strict=True):
            self._check(file, int(records))
        counts = np.concatenate([file.counts for file in self._files])  # (N,) frames of each record
        self._counts = counts
        self._checked = np.zeros(len(counts), dtype=bool)  # records that were compared with their checksums
        within = [np.cumsum(file.counts) - file.counts for file in self._files]
        self._begins = np.concatenate(within)  # (N,) first frame of each record in its shard's file
        statistics = [index[name] for name in _STATISTICS]
        mean, deviation, clip_deviation = (np.array(values, dtype=np.float64) for values in statistics)
        if not all((np.abs(values) <= MOST_FLOAT16).all() for values in (mean, deviation, clip_deviation)):
            raise DataError(
                f"{folder}: its mean or deviation holds NaN, infinity or more than float16 embeddings can have; remove "
                "it and run axlstm teach again"
            )
        self._mean = mean.astype(np.float32)
        self._scale, self._clip_scale = _inverse(deviation), _inverse(clip_deviation)

    def _check(self, file: TaughtShard, records: int) -> None:
        if different := name_differences(file.settings, self.index["settings"]):
            raise DataError(
                f"{file.path}: not of the same teaching as {TEACHER_NAME} ({different}); remove it and run "
                "axlstm teach again"
            )
        if file.timing is not None and not np.allclose(file.timing, (self._first_ms, self._hop_ms), atol=1e-3):
            raise DataError(
                f"{file.path}: a frame every {file.timing[1]:g} ms from {file.timing[0]:g} ms on, but {TEACHER_NAME} "
                f"says every {self._hop_ms:g} ms from {self._first_ms:g} ms on; remove the folder and run axlstm teach "
                "again"
            )
        if len(file.counts) != records or file.size != self.size:
            raise DataError(
                f"{file.path}: {len(file.counts)} records of size {file.size}, expected {records} of size {self.size}; "
                "remove it and run axlstm teach again"
            )

    @property
    def fingerprint(self) -> str:
        """Hash the description, which has encoder, shards and statistics of all embeddings, with SHA-256."""
        return hashlib.sha256(json.dumps(self.index, sort_keys=True).encode()).hexdigest()

    def read(self, record: int, begin: int, end: int) -> NDArray[np.float32]:
        """Return frames ``begin`` to ``end`` of a record: ``(end - begin, D)``.

        Raises:
            DataError: a file that is damaged or was cut short, or embeddings that are NaN or infinite.
        """
        shard = self._shards.shard_of(record)
        file = self._files[shard]
        if not self._checked[record] and file.crcs is not None:
            whole = self._read(record, 0, int(self._counts[record]))
            if zlib.crc32(whole) != file.crcs[record - self._shards.starts[shard]]:
                raise DataError(
                    f"{file.path}: damaged: a checksum is another one; remove it and run axlstm teach again"
                )
            self._checked[record] = True
        content = self._read(record, begin, end)
        out: NDArray[np.float32] = np.frombuffer(content, np.float16).reshape(-1, self.size).astype(np.float32)
        if not np.isfinite(out).all():
            raise DataError(f"{file.path}: the teacher's embedding of the record holds NaN or infinity")
        return out

    def _read(self, record: int, begin: int, end: int) -> bytes:
        shard = self._shards.shard_of(record)
        file, row = self._files[shard], 2 * self.size
        if shard not in self._open:
            self._open[shard] = file.path.open("rb", buffering=0)
        first = int(self._begins[record]) + begin
        content = read_at(self._open[shard], file.begin + first * row, (end - begin) * row)
        if len(content) < (end - begin) * row:
            raise DataError(f"{file.path}: cut short; remove it and run axlstm teach again")
        return content

    def crop(self, record: int, start: int, frames: int, model: ModelConfig, speed: float = 1.0) -> CropTargets:
        """Return the targets of a crop, at the times of the student's frames.

        A teacher with a longer hop than the student's frame is interpolated linearly; one with a shorter hop
        is averaged under a triangle as wide as two frames of the student.

        Args:
            start: first log-mel frame of the crop in its record.
            frames: log-mel frames of the crop; a shorter one than the window is repeated to fill it.
            speed: log-mel frames of the record in one of the crop.

        Raises:
            DataError: as `read`.
        """
        count = int(self._counts[record])
        if not count:
            shape = (model.grid_frames, self.size)
            return CropTargets(np.zeros(shape, np.float32), np.zeros(self.size, np.float32), False)
        config = FrontendConfig()
        mel_hop_ms = 1000 * config.hop_samples / config.sample_rate_hz
        centres = np.arange(model.grid_frames) * model.patch_frames + (model.patch_frames - 1) / 2  # in log-mel frames
        times_ms = (start + centres % frames * speed) * mel_hop_ms  # (T,)
        places = np.clip((times_ms - self._first_ms) / self._hop_ms, 0, count - 1)  # (T,) in the teacher's frames
        width = max(
            1.0, model.patch_frames * mel_hop_ms / self._hop_ms
        )  # half of the triangle's, in the teacher's frames
        begin, end = max(0, math.floor(places.min() - width)), min(count, math.ceil(places.max() + width) + 1)
        embeddings = self.read(record, begin, end)  # (n, D)
        weights = np.clip(1 - np.abs(places[:, None] - np.arange(begin, end)) / width, 0, None)  # (T, n)
        weights /= weights.sum(axis=1, keepdims=True)
        centred = weights.astype(np.float32) @ embeddings - self._mean  # (T, D)
        return CropTargets(centred * self._scale, centred.mean(axis=0) * self._clip_scale, True)

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()

    __del__ = close


def _inverse(deviation: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return one over each deviation; 0 for a channel that is constant."""
    alive = deviation > _DEAD * max(float(deviation.max()), 1e-30)
    out: NDArray[np.float32] = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=alive).astype(np.float32)
    return out
