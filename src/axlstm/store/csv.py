"""Embeddings as csv: one row a clip (scene embeddings) or one row a frame (frame embeddings)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from axlstm.store.records import PIECE_FRAMES, ClipRecord, StoreSettings

_COLUMNS = ["path", "duration_s", "model", "fingerprint"]


def write(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write the records one by one."""
    columns = _COLUMNS + (["timestamp_ms"] if settings.frames else [])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns + [f"e{index}" for index in range(settings.size)])
        for record in records:
            head = [record.path, record.duration_s, settings.model, settings.fingerprint]
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
    if header[:4] != _COLUMNS or first is None:
        raise ValueError("the columns differ, or there are no rows")
    frames = "timestamp_ms" in header
    size = sum(name.startswith("e") and name[1:].isdigit() for name in header)
    settings = StoreSettings(first["model"], first["fingerprint"], size, scene=not frames, frames=frames)

    def records() -> Iterator[ClipRecord]:
        with path.open(newline="", encoding="utf-8-sig") as file:
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


def read_paths(path: Path) -> list[str]:
    """Read the path of each row."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [row["path"] for row in csv.DictReader(file)]
