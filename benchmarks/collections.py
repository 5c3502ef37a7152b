"""Time a collection's format and its insertion: Arrow IPC beside .npy, and 100,000 windows that an index run enters.

python -m benchmarks collections [--rows 65536] [--size 960] [--windows 100000] [--rounds 3]
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.find import find_audio
from axlstm.collection.changes import list_parts
from axlstm.collection.collection import create, open
from axlstm.collection.indexing import index
from axlstm.collection.parts import Rows, map_part, write_part
from axlstm.seals import crc_of_path
from benchmarks.hoplite_plan import FILE_WINDOWS, HOP_S
from benchmarks.machine import describe_machine
from benchmarks.ready_windows import ReadyEncoder, write_sounds
from benchmarks.report import save

_BLOCK_ROWS = 4096


def collections(rows: int = 65_536, size: int = 960, windows: int = 100_000, rounds: int = 3) -> int:
    """Write, map and scan a part in both formats; then index files with an encoder that has its vectors ready.

    A scan is a product of all vectors with one, in float32, block by block. "Cold" is a scan of a file that the system
    has dropped from its memory.

    Args:
        rows: of the part.
        size: of a vector.
        windows: that are inserted; 100 to a file of 250 s, as many as `axlstm index` makes of it.
        rounds: times that each is run, in turns.
    """
    with tempfile.TemporaryDirectory() as temporary:
        table = _compare_formats(Path(temporary), _random_rows(rows, size), rounds)
        inserted = [_insert(Path(temporary, str(turn)), windows, size) for turn in range(rounds)]
    for name, row in table.items():
        print(f"{name:10} " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
    seconds = median(one["seconds"] for one in inserted)
    print(f"{windows} windows of {size} inserted in {seconds:.1f} s ({windows / seconds:.0f} windows/s), {inserted[0]}")
    result = {"rows": rows, "size": size, "formats": table, "windows": windows, "inserted": inserted}
    save("collections", {"machine": describe_machine(), **result})
    return 0


def _random_rows(rows: int, size: int) -> Rows:
    rng = np.random.default_rng(0)
    start = np.arange(rows, dtype=np.float64) * HOP_S
    vectors = rng.standard_normal((rows, size), dtype=np.float32).astype(np.float16)
    return Rows(np.arange(rows) // FILE_WINDOWS, start, start + 2 * HOP_S, vectors)


def _compare_formats(folder: Path, rows: Rows, rounds: int) -> dict[str, dict[str, float]]:
    ways: dict[str, tuple[Callable[[Path], object], Callable[[Path], NDArray[np.float16]]]] = {
        "arrow": (
            lambda path: write_part(path, rows),
            lambda path: map_part(path, len(rows), rows.vectors.shape[1]).vectors,
        ),
        "npy": (lambda path: _write_npy(path, rows), lambda path: np.load(path, mmap_mode="r")),
    }
    times: dict[str, dict[str, list[float]]] = {name: {} for name in ways}
    sizes = {}
    query = np.ones(rows.vectors.shape[1], dtype=np.float32)
    for turn in range(-1, rounds):
        for name, (write, read) in ways.items():
            path = folder / f"{turn}.{name}"
            begin = time.perf_counter()
            write(path)
            written = time.perf_counter()
            vectors = read(path)
            mapped = time.perf_counter()
            warm = _scan(vectors, query)
            del vectors
            _forget(path)
            cold = _scan(read(path), query)
            sizes[name] = sum(file.stat().st_size for file in folder.glob(f"{path.name}*"))
            row = {"write_s": written - begin, "map_ms": 1000 * (mapped - written), "scan_s": warm, "cold_scan_s": cold}
            if turn >= 0:
                for key, value in row.items():
                    times[name].setdefault(key, []).append(value)
            for file in folder.glob(f"{path.name}*"):
                file.unlink()
    return {
        name: {**{key: median(values) for key, values in row.items()}, "megabytes": sizes[name] / 1e6}
        for name, row in times.items()
    }


def _write_npy(path: Path, rows: Rows) -> str:
    """Write what a part holds as .npy files: the vectors, and a second one for the rest."""
    numbers = np.stack([rows.recording.astype(np.float64), rows.start_s, rows.end_s], axis=1)
    for name, array in ((f"{path.name}", rows.vectors), (f"{path.name}.numbers", numbers)):
        with (path.with_name(name)).open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
    return crc_of_path(path)


def _scan(vectors: NDArray[np.float16], query: NDArray[np.float32]) -> float:
    begin = time.perf_counter()
    for first in range(0, len(vectors), _BLOCK_ROWS):
        vectors[first : first + _BLOCK_ROWS].astype(np.float32) @ query
    return time.perf_counter() - begin


def _forget(path: Path) -> None:
    """Have the system drop a file from its memory; where that cannot be asked for, a scan is never cold."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _insert(folder: Path, windows: int, size: int) -> dict[str, float]:
    """Index files, and count what came of it."""
    sounds = folder / "sounds"
    write_sounds(sounds, [f"{number:06d}.wav" for number in range(windows // FILE_WINDOWS)])
    encoder = ReadyEncoder(np.random.default_rng(0).standard_normal((windows, size), dtype=np.float32))
    found = find_audio([sounds])
    with create(folder / "c", sounds) as collection:
        begin = time.perf_counter()
        summary = index(collection, encoder, found)
        seconds = time.perf_counter() - begin
        assert summary.windows == windows
        parts = list_parts(collection)
        megabytes = sum(part.bytes for part in parts) / 1e6
    begin = time.perf_counter()
    with open(folder / "c") as collection:
        assert sum(len(rows) for rows in collection.rows(collection.encoder())) == windows
    opened = time.perf_counter() - begin
    tables = (folder / "c" / "collection.sqlite").stat().st_size / 1e6
    return {
        "seconds": seconds,
        "open_s": opened,
        "parts": len(parts),
        "parts_megabytes": megabytes,
        "tables_megabytes": tables,
    }
