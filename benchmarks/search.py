"""Time search: exact, by other ways of multiplying float16 rows, and with the index, whose recall is measured too.

python -m benchmarks search [--windows 1000000] [--minutes 60] [--folder FOLDER]
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.collection.changes import MOST_ROWS, add_part
from axlstm.collection.collection import Collection, create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.folder import now
from axlstm.collection.parts import Rows
from axlstm.collection.search import nearest
from axlstm.collection.search.nearest_build import build_index
from axlstm.collection.search.query import Query
from axlstm.collection.search.run import search as run_search
from axlstm.collection.search.scan import Directions, score_all
from axlstm.collection.search.searcher import Searcher
from axlstm.collection.search.thin import Spacing
from axlstm.collection.statistics import note_statistics
from benchmarks.machine import describe_machine
from benchmarks.made_windows import make_frames, pool_windows
from benchmarks.report import save
from benchmarks.timing import take_turns

SIZE = 960
_OF_RECORDING = 240  # windows of a recording of ten minutes
_ROWS_OF_WAYS = 100_000
_COUNT = 20


def search(
    windows: int = 1_000_000, minutes: float = 60.0, queries: int = 200, rounds: int = 7, folder: Path | None = None
) -> int:
    """Fill a collection with windows of real frames, and search it.

    The vectors are means of 5 to 50 frames of axlstm-tiny, of mixtures of the bundled recordings; the queries are such
    windows of other mixtures. Neighbouring windows share frames, so that the nearest are hard to tell apart.

    Args:
        windows: of the collection.
        minutes: of mixtures, which the model is run on first.
        queries: that recall and time of the index are measured with.
        rounds: times that each search is run.
        folder: keeps frames and collection for the next run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        frames, others = make_frames(place / "frames.npy", minutes), make_frames(place / "others.npy", 3.0, seed=1)
        asked = pool_windows(others, queries, seed=2).astype(np.float64)
        sizes = sorted({windows // 10, windows // 3, windows})
        rows = [_measure(place, frames, asked, size, rounds) for size in sizes]
        ways = _compare_ways(place / f"{sizes[-1]}.collection", rounds)
    save("search", {"machine": describe_machine(), "size": SIZE, "ways": ways, "rows": rows})
    return 0


def _measure(
    place: Path, frames: NDArray[np.float32], asked: NDArray[np.float64], windows: int, rounds: int
) -> dict[str, Any]:
    target = place / f"{windows}.collection"
    if not target.is_dir():
        fill(target, frames, windows)
    with open_collection(target) as collection:
        row: dict[str, Any] = {"windows": windows}
        row["open_s"], searcher = _timed(lambda: Searcher(collection, collection.encoder()))
        row["first_norms_s"], _ = _timed(lambda: searcher.norms)
        directions = [_direction(searcher, query) for query in asked]
        runs: dict[str, Callable[[], object]] = {
            "exact": lambda: searcher.find(directions[0], _COUNT, Spacing(), exact=True),
            "exact_tenth": lambda: searcher.find(directions[0], _COUNT, Spacing(), _each(searcher, 10), exact=True),
        }
        timings = take_turns(runs, rounds)
        row |= {f"{name}_s": timing.median for name, timing in timings.items()}
        row |= {f"{name}_best_s": min(timing.seconds) for name, timing in timings.items()}
        if nearest.is_installed():
            row |= _measure_index(collection, searcher, directions)
        print(json.dumps(row), flush=True)
    return row


def _each(searcher: Searcher, step: int) -> NDArray[np.bool_]:
    """Choose the windows of each second or tenth recording."""
    return np.arange(len(searcher.table)) // _OF_RECORDING % step == 0


def _measure_index(collection: Collection, searcher: Searcher, directions: list[Directions]) -> dict[str, Any]:
    seconds, index = _timed(lambda: build_index(collection.folder, searcher.table))
    searcher._index = index
    file = collection.folder / "cache" / f"nearest-{searcher.entry.id}.faiss"
    result: dict[str, Any] = {"build_s": seconds, "index_bytes": file.stat().st_size, "probes": index.probes}
    result["recall_at_building"] = index.recall
    result["load_s"], _ = _timed(lambda: nearest.load_index(collection.folder, searcher.table))
    least, nearest.LEAST_WINDOWS = nearest.LEAST_WINDOWS, 0
    try:
        runs: dict[str, tuple[Spacing, NDArray[np.bool_] | None]] = {
            "all_windows": (Spacing(apart_s=0), None),
            "apart": (Spacing(), None),
            "half": (Spacing(), _each(searcher, 2)),
        }
        for name, (spacing, mask) in runs.items():
            asked = [_ask(searcher, direction, spacing, mask) for direction in directions]
            times = [seconds for seconds, _, is_exact in asked if not is_exact]
            result[f"{name}_asked"] = len(times)
            result[f"{name}_recall"] = float(np.mean([recall for _, recall, _ in asked]))
            if times:
                result[f"{name}_median_s"] = float(np.median(times))
                result[f"{name}_95_percent_s"] = float(np.quantile(times, 0.95))
        # The whole call: the query's recording is found, and query and hits are noted.
        calls = [Query((f"{number}.wav@10-15",)) for number in range(1, len(directions) + 1)]
        result["call_median_s"] = float(np.median([_seconds_of_call(searcher, call) for call in calls]))
    finally:
        nearest.LEAST_WINDOWS = least
    return result


def _seconds_of_call(searcher: Searcher, query: Query) -> float:
    return _timed(lambda: run_search(searcher, query, count=_COUNT))[0]


def _ask(
    searcher: Searcher, directions: Directions, spacing: Spacing, mask: NDArray[np.bool_] | None
) -> tuple[float, float, bool]:
    """Return the seconds of a search, the share of the true hits that it found, and whether it compared all windows."""
    seconds, (near, is_exact) = _timed(lambda: searcher.find(directions, _COUNT, spacing, mask))
    every, _ = searcher.find(directions, _COUNT, spacing, mask, exact=True)
    return seconds, len({match.row for match in near} & {match.row for match in every}) / len(every), is_exact


def fill(folder: Path, frames: NDArray[np.float32], windows: int) -> None:
    """Make a collection of windows of frames ``(clips, T, 960)``, whose recordings are on no disk."""
    with create(folder, folder.parent) as collection:
        tables = collection.tables
        with collection.transaction():
            tables.execute(
                "INSERT INTO encoders (name, source, fingerprint, size, window_s, hop_s, options, added_at) "
                "VALUES ('made', 'nowhere', '0', ?, 5, 2.5, '{}', ?)",
                (SIZE, now()),
            )
        entry = collection.encoder()
        vectors = pool_windows(frames, windows, seed=0)
        for begin in range(0, windows, MOST_ROWS):
            own = vectors[begin : begin + MOST_ROWS]
            number = np.arange(begin, begin + len(own))
            recordings, first = np.unique(number // _OF_RECORDING, return_index=True)
            counts = np.diff([*first, len(own)])
            # A recording that two parts share is two recordings.
            numbers = recordings + 1 + begin // MOST_ROWS
            start = (2.5 * (number % _OF_RECORDING)).astype(np.float64)
            part_rows = Rows(np.repeat(numbers, counts), start, start + 5, own)

            def enter(part: int, numbers: Any = numbers, first: Any = first, counts: Any = counts) -> None:
                for recording, row, count in zip(numbers.tolist(), first.tolist(), counts.tolist(), strict=True):
                    tables.execute(
                        "INSERT INTO recordings (id, path, size_bytes, modified, quick_digest, digest, duration_s, "
                        "sample_rate_hz, channels, added_at) VALUES (?, ?, 0, 0, '', '', 1e6, 16000, 1, '')",
                        (recording, f"{recording}.wav"),
                    )
                    tables.execute("INSERT INTO spans VALUES (?, ?, ?, ?, ?)", (recording, entry.id, part, row, count))

            add_part(collection, entry.id, part_rows, enter)
        note_statistics(collection, entry, run_ends=True)


def _direction(searcher: Searcher, query: NDArray[np.float64]) -> Directions:
    standard = searcher.table.statistics.standardise(query[None])
    return Directions(standard / np.linalg.norm(standard), np.empty((0, SIZE)), 0.0)


def _compare_ways(folder: Path, rounds: int) -> dict[str, float]:
    """Time ways to multiply float16 rows with one vector, in seconds for a million rows."""
    with open_collection(folder) as collection:
        searcher = Searcher(collection, collection.encoder())
        part = searcher.table.runs[0].part
        rows = min(_ROWS_OF_WAYS, len(part.rows))
        tensor, array = part.vectors[:rows], part.rows.vectors[:rows]
        weights = torch.randn(SIZE)
        half, brain, numbers = weights.half(), weights.bfloat16(), weights.numpy()
        in_brain = tensor.bfloat16()
        norms = searcher.norms
        directions = _direction(searcher, np.ones(SIZE))
        runs: dict[str, Callable[[], object]] = {
            "search, all threads": lambda: score_all(searcher.table, norms, directions),
            "torch, float16 x float16 (rounded to float16)": lambda: tensor @ half,
            "torch, bfloat16 x bfloat16 (rounded to bfloat16)": lambda: in_brain @ brain,
            "torch, all rows to float32 at once": lambda: tensor.float() @ weights,
            "NumPy, blocks of 256 rows to float32": lambda: [
                array[begin : begin + 256].astype(np.float32) @ numbers for begin in range(0, rows, 256)
            ],
        }
        timings = take_turns(runs, rounds)
        counts = {name: len(searcher.table) if name.startswith("search") else rows for name in runs}
    seconds = {name: 1e6 / counts[name] * median(timing.seconds) for name, timing in timings.items()}
    for name, value in seconds.items():
        print(f"{name:50} {value:7.3f} s for a million")
    return seconds


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result
