"""Find for each window the windows most like it: exactly where there are few, else among those of nearby cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.collection.search.norms import unit_rows
from axlstm.collection.search.table import WindowTable

DIMENSIONS = 64
"""Values of a projection, in which neighbours are looked for."""

SAMPLE = 20_000
"""Windows that projection and cells are made of."""

_MOST_EXACT = 20_000
_NEAR_CELLS = 16  # whose windows are compared
_ROUNDS = 10  # of k-means
_BLOCK_ROWS = 2048


def project(table: WindowTable, progress: Callable[[float], None]) -> Tensor:
    """Project the standardised vectors of a table, of length 1, to the axes that keep most of them: ``(n, 64)``.

    Args:
        progress: called with the share that is done.
    """
    total = len(table)
    rows = np.sort(np.random.default_rng(0).choice(total, min(total, SAMPLE), replace=False))
    axes = find_axes(unit_rows(table, rows))  # (D, d)
    found, begin = torch.empty(total, axes.shape[1]), 0
    for block in unit_rows(table, np.arange(total)):
        torch.mm(torch.from_numpy(block), axes, out=found[begin : begin + len(block)])
        begin += len(block)
        progress(begin / total)
    return torch.nan_to_num(found)


def find_axes(blocks: Iterable[NDArray[np.float32]]) -> Tensor:
    """Find the axes ``(D, 64)`` that keep most of the squares of vectors, which come in blocks ``(b, D)``."""
    moments = sum((block.T @ block).astype(np.float64) for block in blocks)
    _, axes = np.linalg.eigh(moments)  # the largest last
    return torch.from_numpy(np.ascontiguousarray(axes[:, ::-1][:, :DIMENSIONS], dtype=np.float32))


def find_neighbours(vectors: Tensor, count: int, progress: Callable[[float], None]) -> Tensor:
    """Find the nearest other vectors of each of ``(n, d)``: their numbers ``(n, count)``.

    Args:
        count: of neighbours, below n.
        progress: called with the share that is done.
    """
    total = len(vectors)
    if total <= _MOST_EXACT:
        return nearest_of(vectors, vectors, count, progress, apart=True)
    centres, cells = _make_cells(vectors, round(total**0.5))
    order = torch.argsort(cells, stable=True)
    ends = torch.bincount(cells, minlength=len(centres)).cumsum(0).tolist()
    begins = [0, *ends[:-1]]
    near = torch.cdist(centres, centres).topk(_NEAR_CELLS, largest=False).indices.tolist()
    found = torch.empty(total, count, dtype=torch.int64)
    for cell, others in enumerate(near):
        own = order[begins[cell] : ends[cell]]
        if len(own):
            candidates = torch.cat([order[begins[other] : ends[other]] for other in [cell, *others]]).unique()
            found[own] = _nearest_among(vectors, own, candidates, count)
        progress((cell + 1) / len(near))
    return found


def nearest_of(
    asked: Tensor, known: Tensor, count: int, progress: Callable[[float], None], apart: bool = False
) -> Tensor:
    """Find the nearest of known vectors ``(m, d)`` to each of others ``(n, d)``: ``(n, count)``.

    Args:
        apart: both are the same, and a vector is no neighbour of itself.
    """
    lengths = (known**2).sum(dim=1)
    found = torch.empty(len(asked), count, dtype=torch.int64)
    for begin in range(0, len(asked), _BLOCK_ROWS):
        block = asked[begin : begin + _BLOCK_ROWS]
        distances = lengths - 2 * block @ known.T  # (b, m), less what is the same for a row
        if apart:
            own = torch.arange(len(block))
            distances[own, begin + own] = torch.inf
        found[begin : begin + len(block)] = distances.topk(count, largest=False).indices
        progress(min(1.0, (begin + len(block)) / len(asked)))
    return found


def _nearest_among(vectors: Tensor, own: Tensor, candidates: Tensor, count: int) -> Tensor:
    """Find the nearest of some candidates, which are sorted and hold these vectors themselves: ``(m, count)``."""
    known = vectors[candidates]
    distances = (known**2).sum(dim=1) - 2 * vectors[own] @ known.T  # (m, c)
    distances[torch.arange(len(own)), torch.searchsorted(candidates, own)] = torch.inf
    nearest = distances.topk(min(count, len(candidates) - 1), largest=False).indices
    found = candidates[nearest]
    missing = count - found.shape[1]
    return found if not missing else torch.cat([found, found[:, -1:].expand(-1, missing)], dim=1)


def _make_cells(vectors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Make cells of neighbouring vectors by k-means (Lloyd, 1982) on a sample.

    A centre that no vector is near is put on a vector that is drawn.

    Returns:
        centres ``(m, d)``, and the cell of each vector ``(n,)``.
    """
    drawn = torch.Generator().manual_seed(0)
    sample = vectors[torch.randperm(len(vectors), generator=drawn)[: max(SAMPLE, 20 * count)]]
    centres = sample[:count].clone()
    for _ in range(_ROUNDS):
        cells = _cell_of(sample, centres)
        sums = torch.zeros_like(centres).index_add_(0, cells, sample)
        sizes = torch.bincount(cells, minlength=count)
        empty = sizes == 0
        sums[empty] = sample[torch.randint(len(sample), (int(empty.sum()),), generator=drawn)]
        centres = sums / sizes.clamp(min=1)[:, None]
    return centres, _cell_of(vectors, centres)


def _cell_of(vectors: Tensor, centres: Tensor) -> Tensor:
    lengths = (centres**2).sum(dim=1)
    pieces = vectors.split(1 << 14)
    return torch.cat([(lengths - 2 * piece @ centres.T).argmin(dim=1) for piece in pieces])
