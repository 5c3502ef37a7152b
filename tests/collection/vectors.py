"""Collections whose vectors are made up, for tests of search and labels that need no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection import changes
from axlstm.collection.collection import Collection, create
from axlstm.collection.folder import EncoderEntry, now
from axlstm.collection.parts import Rows
from axlstm.collection.statistics import note_statistics
from axlstm.store.origin import Origin, read_origin

WINDOW_S, HOP_S = 2.0, 1.0


def make_collection(folder: Path, root: Path, size: int = 8, name: str = "made") -> Collection:
    """An empty collection with one encoder."""
    root.mkdir(parents=True, exist_ok=True)
    collection = create(folder, root)
    add_encoder(collection, size, name)
    return collection


def add_encoder(collection: Collection, size: int, name: str) -> EncoderEntry:
    with collection.transaction():
        collection.tables.execute(
            "INSERT INTO encoders (name, source, fingerprint, size, window_s, hop_s, options, added_at) "
            "VALUES (?, 'nowhere', 'abc', ?, ?, ?, '{}', ?)",
            (name, size, WINDOW_S, HOP_S, now()),
        )
    return collection.encoder(name)


def add_recording(
    collection: Collection,
    path: str,
    duration_s: float,
    recorded_at: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    rate: int = 16_000,
) -> int:
    """Enter a recording as it is on the disk, or one that is not there."""
    place = collection.place_of(path)
    origin = read_origin(place, path) if place.is_file() else Origin(1, 1, path, path, path)
    known = (origin.size_bytes, origin.modified, origin.quick_digest, origin.digest)
    with collection.transaction():
        done = collection.tables.execute(
            "INSERT INTO recordings (path, size_bytes, modified, quick_digest, digest, duration_s, sample_rate_hz, "
            "channels, recorded_at, metadata, added_at) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
            (path, *known, duration_s, rate, recorded_at, json.dumps(metadata or {}), now()),
        )
    return int(done.lastrowid or 0)


def windows_of(duration_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds of the windows of a recording, as indexing makes them."""
    last = max(0, int(np.ceil((duration_s - WINDOW_S) / HOP_S)))
    start_s = HOP_S * np.arange(last + 1)
    return start_s, np.minimum(start_s + WINDOW_S, duration_s)


def add_part(collection: Collection, entry: EncoderEntry, vectors: Mapping[int, NDArray[Any]], unused: int = 0) -> None:
    """Write one part with the vectors of recordings; some rows before each that nobody uses.

    The number of vectors says how long a recording is.
    """
    pieces, spans, first = [], [], 0
    for recording, values in vectors.items():
        rows = np.concatenate([np.full((unused, entry.size), 7.0), values]).astype(np.float16)
        start_s = HOP_S * (np.arange(len(rows)) - unused).clip(min=0)
        pieces.append(Rows(np.full(len(rows), recording, np.int64), start_s, start_s + WINDOW_S, rows))
        spans.append((recording, first + unused, len(values)))
        first += len(rows)
    joined = Rows(
        *(
            np.concatenate(parts)
            for parts in zip(*((p.recording, p.start_s, p.end_s, p.vectors) for p in pieces), strict=True)
        )
    )

    def enter(part: int) -> None:
        collection.tables.executemany(
            "INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?, ?)",
            [(recording, entry.id, part, begin, count) for recording, begin, count in spans],
        )

    changes.add_part(collection, entry.id, joined, enter)
    note_statistics(collection, entry, run_ends=True)


def fill(
    collection: Collection, seed: int = 0, recordings: int = 12, most_windows: int = 9, parts: int = 3, size: int = 8
) -> dict[str, NDArray[np.float16]]:
    """Add recordings of random lengths with random vectors, spread over parts with unused rows between them."""
    rng = np.random.default_rng(seed)
    entry = collection.encoders()[0]
    offset, scale = rng.normal(size=size), rng.uniform(0.2, 3, size)
    made: dict[str, NDArray[np.float16]] = {}
    waiting: dict[int, NDArray[Any]] = {}
    for number in range(recordings):
        windows = int(rng.integers(1, most_windows + 1))
        path = f"site{number % 3}/{number:03d}.wav"
        values = (rng.normal(size=(windows, size)) * scale + offset).astype(np.float16)
        recording = add_recording(collection, path, (windows - 1) * HOP_S + WINDOW_S)
        waiting[recording], made[path] = values, values
        if len(waiting) == -(-recordings // parts) or number + 1 == recordings:
            add_part(collection, entry, waiting, unused=int(rng.integers(0, 3)))
            waiting = {}
    return made
