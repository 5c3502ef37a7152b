"""Complete a folder of a teacher's targets, and write targets that are known without an encoder, such as labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.data.shards import RecordFiles, ShardSet, open_shards
from axlstm.data.teachers import (
    FORMAT_VERSION,
    MOST_FLOAT16,
    TEACHER_NAME,
    TaughtShard,
    find_fault,
    read_taught_shard,
    read_teacher_index,
    shard_file,
    write_taught_shard,
)
from axlstm.errors import DataError, name_differences
from axlstm.files import clear_dead_parts, write_atomically
from axlstm.locks import locked
from axlstm.seals import seal_object

SKIPPED_NAME = "skipped.jsonl"
_CLIP_SECONDS = 2.0  # a window of the published models: the stretches whose means give ``clip_deviation``

TargetsOf = Callable[[Mapping[str, Any]], NDArray[np.floating[Any]] | None]
"""Gives the targets ``(frames, D)`` of a record by its facts, or None where the record has none."""


def write_known_targets(
    directory: Path, out: Path, source: Mapping[str, Any], size: int, timing: tuple[float, float], targets_of: TargetsOf
) -> dict[str, Any]:
    """Write targets of all records that have some into ``out``, in the form of `axlstm.teach.teach`.

    A record without targets has no loss of this teacher. It is not listed as skipped, because nothing failed.

    Args:
        directory: a folder of shards.
        source: what the targets were made of. Another call for the same folder must give the same.
        size: ``D``, of a frame's targets.
        timing: middle of the first frame and time between two, in ms.
        targets_of: gives the targets of a record by its facts.

    Returns:
        What ``teacher.json`` holds.

    Raises:
        DataError: no shards; a folder of other targets or shards; targets of another size, or that are NaN, infinite or
            beyond float16; no record with targets.
        InUseError: another process works in ``out``.
    """
    splits = [shards for shards in (open_shards(directory, split) for split in ("train", "valid")) if len(shards)]
    settings = {
        "format_version": FORMAT_VERSION,
        "encoder": dict(source),
        "shards": {shards.split: shards.fingerprint for shards in splits},
    }
    with locked(out):
        if (out / TEACHER_NAME).is_file():
            index = read_teacher_index(out)
            check_settings(out, index["settings"], settings)
            files = [shard_file(out, shard) for shards in splits for shard in shards.shards]
            if not any(map(find_fault, files)):
                return index
        clear_dead_parts(out)
        written: dict[str, list[TaughtShard]] = {}
        for shards in splits:
            written[shards.split] = []
            with closing(RecordFiles(shards)) as files_of:
                for number, shard in enumerate(shards.shards):
                    rows = _rows(files_of, shards, number, size, targets_of)
                    counts = np.array([len(part) for part in rows], dtype=np.int64)
                    path = shard_file(out, shard)
                    write_taught_shard(path, np.concatenate(rows), counts, settings, timing, [])
                    written[shards.split].append(read_taught_shard(path))
        return complete_folder(out, written, settings, timing)


def _rows(
    files: RecordFiles, shards: ShardSet, shard: int, size: int, targets_of: TargetsOf
) -> list[NDArray[np.float16]]:
    """Return the targets of a shard's records: ``(frames, D)`` each, no frames where a record has none."""
    rows = []
    for record in range(*shards.starts[shard : shard + 2].tolist()):
        facts = files.facts(record)
        targets = targets_of(facts)
        if targets is None:
            targets = np.zeros((0, size))
        where = f"{shards.shards[shard].name}, {facts.get('source', 'a record without a source')}"
        if targets.ndim != 2 or targets.shape[1] != size:
            raise DataError(f"{where}: targets of shape {targets.shape}, expected (frames, {size})")
        if not (np.abs(targets) <= MOST_FLOAT16).all():
            raise DataError(f"{where}: targets that are NaN, infinite or beyond float16")
        rows.append(targets.astype(np.float16))
    return rows


def check_settings(where: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Check that a folder or file was written with the same encoder, shards and settings.

    Raises:
        DataError: it was not; the differences are named.
    """
    if different := name_differences(there, here):
        raise DataError(
            f"{where}: holds embeddings of another teaching ({different}). Use the same encoder, shards and settings "
            "to go on, or another folder"
        )


def complete_folder(
    out: Path,
    files: Mapping[str, list[TaughtShard]],
    settings: Mapping[str, Any],
    timing: tuple[float, float] | None,
) -> dict[str, Any]:
    """Write the list of skipped records, and ``teacher.json`` with statistics of the training split.

    Args:
        files: of every shard, by split.
        timing: middle of the first frame and time between two, in ms; None if no record has two frames.

    Returns:
        What ``teacher.json`` holds.

    Raises:
        DataError: no record has targets, or the time between two frames is unknown.
    """
    every = [file for some in files.values() for file in some]
    skipped = [entry for file in every for entry in file.skipped]
    write_atomically(out / SKIPPED_NAME, "".join(json.dumps(entry) + "\n" for entry in skipped).encode())
    records = sum(len(file.counts) for file in every)
    train = [file for file in files["train"] if file.counts.any()]
    if not train:
        reason = f"; the first: {skipped[0]['reason']}" if skipped else ""
        raise DataError(f"{out}: none of {records} records can be embedded{reason}")
    if timing is None:
        raise DataError(
            f"{out}: the encoder gives one frame for each record, so that their time is unknown; use scenes"
        )
    first_ms, hop_ms = timing
    clip_frames = max(1, round(1000 * _CLIP_SECONDS / hop_ms))
    frames, clips = _Moments(train[0].size), _Moments(train[0].size)
    for file in train:
        raw = np.memmap(file.path, np.float16, "r", file.begin, (int(file.counts.sum()), file.size))
        at = 0
        for count in file.counts.tolist():
            embeddings = raw[at : at + count].astype(np.float64)
            at += count
            frames.add(embeddings)
            for begin in range(0, count, clip_frames):
                clips.add(embeddings[begin : begin + clip_frames].mean(axis=0, keepdims=True))
    index = {
        "settings": dict(settings),
        "size": train[0].size,
        "first_ms": first_ms,
        "hop_ms": hop_ms,
        "records": records,
        "skipped": len(skipped),
        "frames": sum(int(file.counts.sum()) for file in every),
        "mean": frames.mean.tolist(),
        "deviation": frames.deviation.tolist(),
        "clip_deviation": clips.deviation.tolist(),
    }
    write_atomically(out / TEACHER_NAME, (json.dumps(seal_object(index), indent=2) + "\n").encode())
    return index


class _Moments:
    """Mean and deviation of rows that come in blocks, joined as by Chan, Golub and LeVeque (1983)."""

    def __init__(self, size: int) -> None:
        self.mean, self._squares, self._count = np.zeros(size), np.zeros(size), 0

    def add(self, rows: NDArray[np.float64]) -> None:
        if not len(rows):
            return
        mean, total = rows.mean(axis=0), self._count + len(rows)
        distance = mean - self.mean
        between = distance**2 * (self._count * len(rows) / total)
        self._squares = self._squares + np.square(rows - mean).sum(axis=0) + between
        self.mean = self.mean + distance * (len(rows) / total)
        self._count = total

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Return the deviation of the rows so far: ``(size,)``."""
        out: NDArray[np.float64] = np.sqrt(self._squares / max(1, self._count))
        return out
