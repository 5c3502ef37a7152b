"""Read and write embeddings as csv: one row a clip or a window (scene embeddings), or a frame (frame embeddings)."""

from __future__ import annotations

import csv
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from axlstm.store.origin import ORIGIN_COLUMNS, Origin, RowKey
from axlstm.store.records import PIECE_FRAMES, ClipRecord, StoreSettings

_COLUMNS = ["path", "duration_s", "model", "fingerprint"]
_ALL_COLUMNS = [*_COLUMNS, *ORIGIN_COLUMNS]
_WINDOW_COLUMNS = ["window_s", "hop_s", "start_s", "end_s"]
_FRAME_COLUMNS = ["timestamp_ms"]
_SEAL = "crc32_"
_UNSEALED = f"{_SEAL}00000000"
_SEALED = re.compile(rf"{_SEAL}([0-9a-f]{{8}})".encode())
_MOST_HEADER_BYTES = 1 << 24
_READ_BYTES = 1 << 20


def write(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write the records one by one, and at last the checksum of all into the header."""
    times = _FRAME_COLUMNS if settings.frames else _WINDOW_COLUMNS if settings.windows else []
    columns = [*_ALL_COLUMNS, _UNSEALED, *times]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns + [f"e{index}" for index in range(settings.size)])
        for record in records:
            head = [record.path, record.duration_s, settings.model, settings.fingerprint, *astuple(record.origin), ""]
            if settings.windows:
                head += [settings.window_s, settings.hop_s]
                bounds = (record.get(name).tolist() for name in ("start_s", "end_s"))
                for start_s, end_s, scene in zip(*bounds, record.get("scene"), strict=True):
                    writer.writerow([*head, start_s, end_s, *map(str, scene)])
            elif settings.scene:
                writer.writerow(head + [str(value) for value in record.get("scene")])
            else:
                for time_ms, frame in zip(record.get("timestamps_ms"), record.get("frames"), strict=True):
                    writer.writerow([*head, str(time_ms), *map(str, frame)])
    with path.open("rb+") as sealed:
        crc = _crc(sealed)
        sealed.seek(0)
        header = sealed.readline().replace(_UNSEALED.encode(), f"{_SEAL}{crc:08x}".encode())
        sealed.seek(0)
        sealed.write(header)


def check(path: Path) -> None:
    """Compare the file with its checksum, which is the name of an empty column.

    Raises:
        ValueError: the file is damaged, or somebody changed it. One without that column is of an earlier version.
    """
    with path.open("rb") as file:
        header = file.readline(_MOST_HEADER_BYTES)
        if found := _SEALED.search(header):
            unsealed = header.removeprefix(BOM_UTF8).replace(found[0], _UNSEALED.encode())
            if int(found[1], 16) != _crc(file, unsealed):
                raise ValueError(
                    "its checksum is another one. If you have changed it, remove the column "
                    f"{found[0].decode()} to use it as it is"
                )


def _crc(file: BinaryIO, content: bytes = b"") -> int:
    """Compute the CRC-32 of some content and the rest of a file, whatever ends its lines."""
    crc = 0
    while content or (content := file.read(_READ_BYTES)):
        crc, content = zlib.crc32(content.replace(b"\r", b""), crc), b""
    return crc


def read(path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]:
    """Read the settings at once and the clips in pieces of at most `PIECE_FRAMES`."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file), [])
        first = next(csv.DictReader(file, header), None)
    if header[: len(_COLUMNS)] != _COLUMNS or first is None:
        raise ValueError("the columns differ, or there are no rows")
    begin = _head_length(header)
    times = next((names for names in (_FRAME_COLUMNS, _WINDOW_COLUMNS) if header[begin:][: len(names)] == names), [])
    size = len(header) - begin - len(times)
    if header[begin + len(times) :] != [f"e{index}" for index in range(size)]:
        raise ValueError("the columns differ")
    frames, windows = times == _FRAME_COLUMNS, times == _WINDOW_COLUMNS
    lengths: dict[str, Any] = {name: float(first[name]) for name in _WINDOW_COLUMNS[:2]} if windows else {}
    settings = StoreSettings(first["model"], first["fingerprint"], size, scene=not frames, frames=frames, **lengths)
    split = begin + len(times)

    def records() -> Iterator[ClipRecord]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            next(rows)
            for head, clip in groupby(_whole(rows, len(header)), lambda row: row[:begin]):
                bare = ClipRecord(head[0], float(head[1]), origin=_origin(head))
                numbers = (
                    (
                        np.array(row[begin:split], np.float64 if windows else np.float32),
                        np.array(row[split:], np.float32),
                    )
                    for row in clip
                )
                while piece := list(islice(numbers, PIECE_FRAMES if times else 1)):
                    of_times, vectors = (np.stack(part) for part in zip(*piece, strict=True))
                    if frames:
                        yield replace(bare, frames=vectors, timestamps_ms=of_times[:, 0])
                    elif windows:
                        if (of_times[:, :2] != [*lengths.values()]).any():
                            raise ValueError("windows of several lengths")
                        yield replace(bare, scene=vectors, start_s=of_times[:, 2], end_s=of_times[:, 3])
                    else:
                        yield replace(bare, scene=vectors[0])

    return settings, records()


def read_keys(path: Path) -> Iterator[RowKey]:
    """Read the path and the origin of each row."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        begin = _head_length(header)
        for head, clip in groupby(_whole(rows, len(header)), lambda row: row[:begin]):
            yield from ((head[0], _origin(head)) for _ in clip)


def _head_length(header: Sequence[str]) -> int:
    """Count the columns before the numbers; files of earlier versions have no checksum, or no origin either."""
    if list(ORIGIN_COLUMNS) != header[len(_COLUMNS) : len(_ALL_COLUMNS)]:
        return len(_COLUMNS)
    return len(_ALL_COLUMNS) + (_SEALED.fullmatch(",".join(header[len(_ALL_COLUMNS) :][:1]).encode()) is not None)


def _whole(rows: Iterable[list[str]], columns: int) -> Iterator[list[str]]:
    """Refuse a row with fewer or more values than the header has names."""
    for number, row in enumerate(rows, start=1):
        if len(row) != columns:
            raise ValueError(f"row {number} has {len(row)} values, expected {columns}")
        yield row


def _origin(head: Sequence[str]) -> Origin:
    values = head[len(_COLUMNS) : len(_ALL_COLUMNS)]
    return Origin(*(kind(value) for kind, value in zip(ORIGIN_COLUMNS.values(), values, strict=False)))
