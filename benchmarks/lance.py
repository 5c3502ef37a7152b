"""Export a collection to LanceDB, index it there with its defaults, and search: python -m benchmarks lance FOLDER."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.collection import open as open_collection
from axlstm.collection.exporting import export_lancedb
from benchmarks.machine import describe_machine
from benchmarks.made_windows import make_frames, pool_windows
from benchmarks.report import save

_COUNT = 20
_WAYS = {
    "default": (None, None),
    "refine 10": (None, 10),
    "100 probes, refine 10": (100, 10),
    "100 probes, refine 50": (100, 50),
}
"""Partitions to look at, and how many times as many candidates are compared with the vectors themselves."""


def lance(folder: Path, windows: int = 1_000_000, queries: int = 50) -> int:
    """Measure what LanceDB does with the export of a collection.

    Args:
        folder: that `python -m benchmarks search --folder` has filled.
        windows: of the collection.
        queries: windows of other mixtures, compared by cosine.
    """
    import lancedb

    place = folder / "lance"
    shutil.rmtree(place, ignore_errors=True)
    row: dict[str, Any] = {"lancedb": version("lancedb"), "windows": windows}
    with open_collection(folder / f"{windows}.collection") as collection:
        row["export_s"] = _seconds(lambda: export_lancedb(collection, collection.encoder(), place))
    row["table_bytes"] = _bytes(place)
    asked = pool_windows(make_frames(folder / "others.npy", 3.0, seed=1), queries, seed=2).astype(np.float32)
    table = lancedb.connect(str(place)).open_table("windows")
    row["exact_s"], exact = _search_all(table, asked, is_exact=True)
    print(row, flush=True)
    row["index_s"] = _seconds(lambda: table.create_index(metric="cosine"))
    row["index_bytes"] = _bytes(place) - row["table_bytes"]
    row["ways"] = {}
    for name, (probes, refine) in _WAYS.items():
        seconds, found = _search_all(table, asked, probes, refine)
        recall = np.mean([len(some & every) / _COUNT for some, every in zip(found, exact, strict=True)])
        row["ways"][name] = {"median_s": seconds, "recall": float(recall)}
        print(name, row["ways"][name], flush=True)
    save("lance", {"machine": describe_machine(), **row})
    shutil.rmtree(place)
    return 0


def _search_all(table: Any, asked: NDArray[np.float32], *options: Any, **named: Any) -> tuple[float, list[Any]]:
    """Return the median of the seconds, and what each query found."""
    seconds, found = [], []
    for query in asked:
        begin = time.perf_counter()
        found.append(_search(table, query, *options, **named))
        seconds.append(time.perf_counter() - begin)
    return median(seconds), found


def _search(
    table: Any,
    query: NDArray[np.float32],
    probes: int | None = None,
    refine: int | None = None,
    is_exact: bool = False,
) -> set[tuple[str, float]]:
    asked = table.search(query).distance_type("cosine").limit(_COUNT).select(["path", "start_s", "_distance"])
    if is_exact:
        asked = asked.bypass_vector_index()
    if probes is not None:
        asked = asked.nprobes(probes)
    if refine is not None:
        asked = asked.refine_factor(refine)
    return {(row["path"], row["start_s"]) for row in asked.to_list()}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin
