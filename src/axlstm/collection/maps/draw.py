"""Draw the map of a collection's windows, and keep it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.maps.kept import WindowMap, keep_map
from axlstm.collection.maps.neighbours import find_neighbours, nearest_of, project
from axlstm.collection.maps.tsne import Phase, lay_out
from axlstm.collection.search.table import WindowTable

NEIGHBOURS = 15
"""Of a window, that are to lie beside it."""

LEAST_WINDOWS = 3
_SAMPLE = 20_000  # windows that are laid out first, where there are more
_SMALL = 1e-4  # deviation of the start
_WHOLE = (Phase(150, 12.0, 0.5), Phase(350, 1.0))
_DENSER = 2.0  # exaggeration where there are more: the plane stays so small that a grid of it is exact
_REFINED = (Phase(120, _DENSER),)


def draw_map(
    collection: CollectionFolder, table: WindowTable, progress: Callable[[float], None] = lambda _: None
) -> WindowMap:
    """Draw the map of a table's windows as `lay_out_windows`, and keep it in the cache of the collection.

    Raises:
        WriteError: the disk is full or fails; the map that was there stays.
    """
    drawn = lay_out_windows(table, progress)
    keep_map(collection.folder, table, drawn)
    return drawn


def lay_out_windows(table: WindowTable, progress: Callable[[float], None] = lambda _: None) -> WindowMap:
    """Compute where the windows of a table lie in a plane.

    Windows that sound alike lie together; how far apart others lie means little. Equal windows give equal maps.

    Args:
        progress: called with the share that is done, from 0 to 1; an exception of it ends the work.
    """
    progress(0.0)
    if len(table) < LEAST_WINDOWS:
        places = torch.arange(2.0 * len(table)).reshape(-1, 2)
    else:
        places = place_vectors(project(table, part_of(progress, 0.0, 0.1)), part_of(progress, 0.1, 1.0))
    digest = f"{zlib.crc32(places.numpy().tobytes()):08x}"
    return WindowMap(places.numpy(), {"method": "t-SNE", "windows": len(table), "digest": digest})


def part_of(progress: Callable[[float], None], begin: float, end: float) -> Callable[[float], None]:
    """Return what tells the progress of a part of the work, from one share to another."""
    return lambda share: progress(begin + (end - begin) * share)


def place_vectors(vectors: Tensor, progress: Callable[[float], None] = lambda _: None) -> Tensor:
    """Lay out vectors ``(n, d)``, the axis of most variance first: places ``(n, 2)``.

    Of many, a sample is laid out first, and the others are put where the nearest one of it lies (Kobak and Berens, "The
    art of using t-SNE for single-cell transcriptomics", 2019); then all are moved.

    Args:
        progress: called with the share that is done.
    """
    total = len(vectors)
    if total <= _SAMPLE:
        return _lay_out_whole(vectors, progress)
    drawn = torch.Generator().manual_seed(0)
    sample = torch.randperm(total, generator=drawn)[:_SAMPLE].sort().values
    laid = _lay_out_whole(vectors[sample], part_of(progress, 0.0, 0.3))
    nearest = nearest_of(vectors, vectors[sample], 1, part_of(progress, 0.3, 0.4))[:, 0]
    spread = torch.randn(total, 2, generator=drawn) * 0.01 * laid.std()
    start = laid[nearest] * (total / _SAMPLE) ** 0.5 / _DENSER + spread
    neighbours = find_neighbours(vectors, NEIGHBOURS, part_of(progress, 0.4, 0.5))
    return lay_out(neighbours, start, list(_REFINED), part_of(progress, 0.5, 1.0))


def _lay_out_whole(vectors: Tensor, progress: Callable[[float], None]) -> Tensor:
    """Lay out vectors from their first two axes on."""
    count = min(NEIGHBOURS, len(vectors) - 1)
    neighbours = find_neighbours(vectors, count, part_of(progress, 0.0, 0.1))
    start = torch.zeros(len(vectors), 2)
    start[:, : vectors.shape[1]] = vectors[:, :2] - vectors[:, :2].mean(dim=0)
    start *= _SMALL / start.std().clamp(min=1e-12)
    return lay_out(neighbours, start, list(_WHOLE), part_of(progress, 0.1, 1.0))
