"""Compare a query with every window, block by block: exact search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.collection.search.norms import blocks, least_norm
from axlstm.collection.search.table import Run, Statistics, WindowTable
from axlstm.threads import on_all_cores

_CHUNK_ROWS = 1 << 14  # of a thread's task, at most


@dataclass(frozen=True)
class Directions:
    """What windows are compared with: unit vectors in the space of standardised vectors.

    The score of a window is its largest cosine with one of ``like``, less ``weight`` times its largest cosine with one
    of ``unlike`` if there are any and that is above zero.

    Args:
        like, unlike: ``(Q, D)`` float64 of length 1.
    """

    like: NDArray[np.float64]
    unlike: NDArray[np.float64]
    weight: float

    @property
    def all(self) -> NDArray[np.float64]:
        """Return both, ``(Q, D)``."""
        return np.concatenate([self.like, self.unlike])

    def combine(self, cosines: Tensor) -> Tensor:
        """Turn cosines ``(n, Q)`` with `all` into scores ``(n,)``."""
        count = len(self.like)
        scores = cosines[:, 0] if count == 1 else cosines[:, :count].amax(dim=1)
        return scores - self.weight * cosines[:, count:].amax(dim=1).clamp_(min=0) if len(self.unlike) else scores


def score_all(
    table: WindowTable,
    norms: list[NDArray[np.float32]],
    directions: Directions,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Score the rows of a table ``(n,)``; minus infinity where the mask is False, and for vectors without a direction.

    A cosine is ``((x - mean) / deviation) . q / norm = (x . w - mean . w) / norm`` with ``w = q / deviation``, so that
    float16 rows are converted in blocks and multiplied as they are. Memory is four bytes a row.

    Args:
        norms: of `axlstm.collection.search.norms.read_norms`.
        mask: which rows to score ``(n,)``; all without one.
    """
    weights, offsets = _weights(table.statistics, directions)
    scores = np.full(len(table), -np.inf, dtype=np.float32)
    # A task for each thread at least: torch would spread the work of a single one, and its threads wait for each other.
    rows = min(_CHUNK_ROWS, -(-len(table) // torch.get_num_threads()))

    def score(task: tuple[Run, NDArray[np.float32], int]) -> None:
        run, run_norms, begin = task
        count = min(rows, run.rows - begin)
        own = slice(run.begin + begin, run.begin + begin + count)
        chosen = None if mask is None else np.flatnonzero(mask[own])
        if chosen is not None and not len(chosen):
            return
        vectors = run.part.vectors[run.first + begin : run.first + begin + count]
        lengths = torch.from_numpy(run_norms[begin : begin + count].copy())
        if chosen is None or len(chosen) == count:
            scores[own] = _score(vectors, lengths, weights, offsets, directions)
        else:
            index = torch.from_numpy(chosen)
            scores[own.start + chosen] = _score(vectors, lengths[index], weights, offsets, directions, index)

    tasks = [
        (run, run_norms, begin)
        for run, run_norms in zip(table.runs, norms, strict=True)
        for begin in range(0, run.rows, rows)
    ]
    on_all_cores(score, tasks)
    return scores


def _weights(statistics: Statistics, directions: Directions) -> tuple[Tensor, Tensor]:
    """Return the directions for vectors that are not standardised ``(D, Q)``, and what the mean gives ``(Q,)``."""
    weights = (directions.all / statistics.deviation).T  # (D, Q)
    offsets = statistics.mean @ weights
    return torch.from_numpy(weights.astype(np.float32)), torch.from_numpy(offsets.astype(np.float32))


def _score(
    vectors: Tensor,
    norms: Tensor,
    weights: Tensor,
    offsets: Tensor,
    directions: Directions,
    index: Tensor | None = None,
) -> NDArray[np.float32]:
    """Score vectors ``(n, D)``, or those of them that an index ``(m,)`` names; norms are of those that are scored."""
    products = torch.empty(len(norms), weights.shape[1])  # (n, Q)
    for block, place in blocks(vectors, index):
        torch.mm(block, weights, out=products[place])
    scores = directions.combine((products - offsets) / norms[:, None])
    scores[~(torch.isfinite(scores) & (norms >= least_norm(vectors.shape[1])))] = -torch.inf
    return scores.numpy()


def score_rows(table: WindowTable, rows: NDArray[np.int64], directions: Directions) -> NDArray[np.float64]:
    """Score some rows of a table ``(n,)`` in float64, as the definition reads."""
    standard = table.statistics.standardise(table.take_vectors(rows))  # (n, D)
    norms = np.linalg.norm(standard, axis=1)
    has_direction = np.isfinite(norms) & (norms >= least_norm(table.entry.size))
    cosines = standard @ directions.all.T / np.where(has_direction, norms, 1.0)[:, None]  # (n, Q)
    return np.where(has_direction, directions.combine(torch.from_numpy(cosines)).numpy(), -np.inf)
