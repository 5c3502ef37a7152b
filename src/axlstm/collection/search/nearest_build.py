"""Build the approximate index of a large collection: project its windows, and sort them into lists, with faiss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.collection.search.nearest import About, NearestIndex, candidates_for, keep_index
from axlstm.collection.search.norms import blocks, least_norm, unit_rows
from axlstm.collection.search.table import MappedPart, Statistics, WindowTable

RECALL = 0.98
"""Share of the 20 nearest that the number of lists to look at is chosen for, on windows of the collection."""

_DIMENSIONS = 192
_LEAST_SAMPLE = 50_000  # windows that projection and lists are trained with
_TRIALS = 512  # windows that recall is measured with
_NEAREST = 20


def build_index(folder: Path, table: WindowTable) -> NearestIndex:
    """Make the index of an encoder, and keep it in the cache: lists of neighbouring vectors, a byte for each of 192
    values of a projection.

    A random sample of windows trains it. The number of lists that a search looks at is the least that finds `RECALL` of
    the 20 nearest of sampled queries.

    Args:
        folder: of the collection.
    """
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    rng = np.random.default_rng(0)
    total = len(table)
    lists = max(1, min(round(2 * total**0.5), total // 40))
    sample = np.sort(rng.choice(total, min(total, max(_LEAST_SAMPLE, 40 * lists)), replace=False))
    projection = _make_projection(table, sample)
    inner = faiss.index_factory(projection.d_out, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    inner.train(np.concatenate([projection.apply(block) for block in unit_rows(table, sample)]))
    index = faiss.IndexPreTransform(projection, inner)
    parts = list({run.part.id: run.part for run in table.runs}.values())
    for part in parts:
        for block in _unit_blocks(part, table.statistics):
            index.add(block)
    described = tuple((part.id, part.crc32, len(part.rows)) for part in parts)
    pairs = np.concatenate(list(unit_rows(table, rng.integers(0, total, 2 * _TRIALS))))
    # Like sounds that are not in the collection: near a window, with something of another.
    trials = pairs[:_TRIALS] + np.float32(0.5) * pairs[_TRIALS:]
    probes, recall = _choose_probes(index, parts, table.statistics, trials, lists)
    about = About(described, table.statistics, probes, recall)
    keep_index(folder, table, index, about)
    return NearestIndex(index, about, table)


def _unit_blocks(part: MappedPart, statistics: Statistics) -> Iterator[NDArray[np.float32]]:
    """Give all vectors of a part, standardised and of length 1, in blocks ``(b, D)``."""
    mean = torch.from_numpy(statistics.mean.astype(np.float32))
    scale = torch.from_numpy((1 / statistics.deviation).astype(np.float32))
    least = least_norm(len(mean))
    held: list[NDArray[np.float32]] = []
    for block, place in blocks(part.vectors):
        standard = block.sub_(mean).mul_(scale)
        held.append((standard / torch.linalg.vector_norm(standard, dim=1, keepdim=True).clamp_(min=least)).numpy())
        if len(held) == 32 or place.stop == len(part.vectors):
            yield np.concatenate(held)
            held = []


def _make_projection(table: WindowTable, rows: NDArray[np.int64]) -> Any:
    """Make the projection of unit vectors to fewer dimensions that keeps most of the squares of some rows.

    The mean stays where it is: principal components, which move it, would change the order of inner products, and find
    95 % of the nearest at most.
    """
    import faiss

    size = table.entry.size
    kept = min(size, _DIMENSIONS)
    moments = np.zeros((size, size))
    for block in unit_rows(table, rows):
        moments += block.T @ block
    _, axes = np.linalg.eigh(moments)  # the largest last
    projection = faiss.LinearTransform(size, kept, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(axes[:, -kept:].T, dtype=np.float32).ravel(), projection.A)
    projection.is_trained = True
    return projection


def _choose_probes(
    index: Any, parts: list[MappedPart], statistics: Statistics, queries: NDArray[np.float32], lists: int
) -> tuple[int, float]:
    """Choose how many lists to look at, and measure the recall that this gives, for queries ``(q, D)``."""
    import faiss

    nearest = _find_nearest(parts, statistics, queries)
    count = nearest.shape[1]
    probes, recall = 1, 0.0
    while probes <= lists:
        parameters = faiss.SearchParametersPreTransform(index_params=faiss.SearchParametersIVF(nprobe=probes))
        _, found = index.search(queries, min(candidates_for(count), index.ntotal), params=parameters)
        pairs = zip(nearest, found, strict=True)
        recall = float(np.mean([np.isin(exact, proposed).mean() for exact, proposed in pairs]))
        if recall >= RECALL:
            return probes, recall
        probes *= 2
    return 0, recall


def _find_nearest(parts: list[MappedPart], statistics: Statistics, queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """Compare queries ``(q, D)`` with all vectors, and return the entries of the nearest ``(q, _NEAREST)``."""
    asked = torch.from_numpy(queries)
    best, nearest = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    begin = 0
    for part in parts:
        for block in _unit_blocks(part, statistics):
            scores = torch.cat([best, asked @ torch.from_numpy(block).T], dim=1)  # (q, kept + b)
            numbers = torch.cat([nearest, torch.arange(begin, begin + len(block)).expand(len(queries), -1)], dim=1)
            best, order = scores.topk(min(_NEAREST, scores.shape[1]), dim=1)
            nearest = numbers.gather(1, order)
            begin += len(block)
    return nearest.numpy()
