"""Read and write embeddings as csv: one row a clip (scene embeddings) or one row a frame (frame embeddings)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from axlstm.store.origin import ORIGIN_COLUMNS, Origin, RowKey
from axlstm.store.records import PIECE_FRAMES, ClipRecord, StoreSettings

_COLUMNS = ["path", "duration_s", "model", "fingerprint"]
_ALL_COLUMNS = [*_COLUMNS, *ORIGIN_COLUMNS]


def write(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write the records one by one."""
    columns = _ALL_COLUMNS + (["timestamp_ms"] if settings.frames else [])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns + [f"e{index}" for index in range(settings.size)])
        for record in records:
            head = [record.path, record.duration_s, settings.model, settings.fingerprint, *astuple(record.origin)]
            if settings.scene:
                writer.writerow(head + [str(value) for value in record.get("scene")])
            else:
                for time_ms, frame in zip(record.get("timestamps_ms"), record.get("frames"), strict=True):
                    writer.writerow([*head, str(time_ms), *map(str, frame)])


def read(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    """Read the settings at once and the clips in pieces of at most `PIECE_FRAMES`."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file))
        first = next(csv.DictReader(file, header), None)
    if header[: len(_COLUMNS)] != _COLUMNS or first is None:
        raise ValueError("the columns differ, or there are no rows")
    frames = "timestamp_ms" in header
    begin = _head_length(header)
    size = len(header) - begin - frames
    settings = StoreSettings(first["model"], first["fingerprint"], size, scene=not frames, frames=frames)

    def records() -> Iterator[ClipRecord]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            next(rows)
            for head, clip in groupby(rows, lambda row: row[:begin]):
                bare = ClipRecord(head[0], float(head[1]), origin=_origin(head))
                numbers = (np.array(row[begin:], dtype=np.float32) for row in clip)  # (size,) or (1 + size,) each
                while piece := list(islice(numbers, PIECE_FRAMES if frames else 1)):
                    values = np.stack(piece)
                    if frames:
                        yield replace(bare, frames=values[:, 1:], timestamps_ms=values[:, 0])
                    else:
                        yield replace(bare, scene=values[0])

    return settings, records()


def read_keys(path: Path) -> list[RowKey]:
    """Read the path and the origin of each row."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        begin = _head_length(next(rows))
        return [(head[0], _origin(head)) for head, _ in groupby(rows, lambda row: row[:begin])]


def _head_length(header: Sequence[str]) -> int:
    """Count the columns before the numbers; files of earlier versions have no origin."""
    return len(_ALL_COLUMNS) if list(ORIGIN_COLUMNS) == header[len(_COLUMNS) : len(_ALL_COLUMNS)] else len(_COLUMNS)


def _origin(head: Sequence[str]) -> Origin:
    return Origin(*(kind(value) for kind, value in zip(ORIGIN_COLUMNS.values(), head[len(_COLUMNS) :], strict=False)))
