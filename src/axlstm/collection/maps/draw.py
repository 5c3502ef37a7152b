"""Draw the map of a collection's windows, and keep it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.maps.kept import WindowMap, keep_map
from axlstm.collection.search.table import WindowTable


def draw_map(
    collection: CollectionFolder, table: WindowTable, progress: Callable[[float], None] = lambda _: None
) -> WindowMap:
    """Compute where the windows of a table lie in a plane, and keep it in the cache of the collection.

    Args:
        progress: called with the share that is done, from 0 to 1; an exception of it ends the work.

    Raises:
        WriteError: the disk is full or fails.
    """
    began = time.perf_counter()
    places = _principal(table, progress)
    about = {"method": "principal components", "seconds": round(time.perf_counter() - began, 1), "windows": len(table)}
    drawn = WindowMap(places, about)
    keep_map(collection.folder, table, drawn)
    return drawn


def _principal(table: WindowTable, progress: Callable[[float], None]) -> NDArray[np.float32]:
    rows = np.arange(len(table))
    vectors = table.statistics.standardise(table.take_vectors(rows[:: max(1, len(rows) // 5000)]))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    _, _, axes = np.linalg.svd(vectors, full_matrices=False)
    places = np.empty((len(table), 2), np.float32)
    for begin in range(0, len(rows), 4096):
        block = table.statistics.standardise(table.take_vectors(rows[begin : begin + 4096]))
        places[begin : begin + 4096] = block @ axes[:2].T
        progress(begin / len(rows))
    return places
