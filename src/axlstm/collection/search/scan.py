"""Compare a query with every window, block by block: exact search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.collection.search.norms import blocks, least_norm
from axlstm.collection.search.table import Statistics, WindowTable
from axlstm.threads import on_all_cores

_CHUNK_ROWS = 1 << 14  # of a thread's task, at most
_ROUNDING = 2.0**-11  # of a number to float16, at most, relative to it
_LEAST_ROUNDING = 2.0**-24  # and for numbers near zero, at most
_FLOAT32 = 2.0**-24  # rounding of a number to float32, at most, relative to it
_WIDEST = 2.0**15  # of the numbers that float16 products are made of
_TYPICAL = 2.0**10  # of float16 products: far from both ends of what float16 holds


@dataclass(frozen=True)
class Directions:
    """Unit vectors in the space of standardised vectors, which windows are compared with.

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

    def score(piece: _Piece) -> None:
        own, vectors, lengths = piece
        chosen = None if mask is None else np.flatnonzero(mask[own])
        if chosen is not None and not len(chosen):
            return
        if chosen is None or len(chosen) == len(lengths):
            scores[own] = _score(vectors, lengths, weights, offsets, directions)
        else:
            index = torch.from_numpy(chosen)
            scores[own.start + chosen] = _score(vectors, lengths[index], weights, offsets, directions, index)

    on_all_cores(score, _pieces(table, norms))
    return scores


def bound_all(
    table: WindowTable, norms: list[NDArray[np.float32]], direction: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Give for each row a number that its cosine with a direction ``(D,)`` is not above, ``(n,)``, in half the time.

    Rows are multiplied in float16 as they are. With ``d`` for the difference of the rounded direction from the true
    one, a cosine is wrong by ``|d|`` at most, by the rounding of the product, and by `float32_errors`.

    Args:
        norms: of `axlstm.collection.search.norms.read_norms`.

    Returns:
        None if products are beyond float16; minus infinity for vectors without a direction.
    """
    statistics = table.statistics
    weights = direction / statistics.deviation  # (D,)
    if not weights.any():
        return None
    sizes = np.hypot(statistics.mean, np.where(np.isfinite(statistics.deviation), statistics.deviation, 0))  # (D,)
    scale = min(_WIDEST / np.abs(weights).max(), _TYPICAL / (np.abs(weights) @ sizes))
    rounded = torch.from_numpy(weights * scale).half()
    exact = rounded.double().numpy() / scale
    errors = float32_errors(table, norms, Directions(direction[None], np.empty((0, len(direction))), 0))
    used = np.isfinite(statistics.deviation)
    difference = float(np.linalg.norm(exact[used] * statistics.deviation[used] - direction[used]))
    offset, least, bounds = float(statistics.mean @ exact), least_norm(len(direction)), np.empty(len(table), np.float32)

    def bound(piece: _Piece) -> bool:
        own, vectors, lengths = piece
        products = torch.mv(vectors, rounded).float()  # (n,), accumulated in float32, rounded to float16
        known = torch.isfinite(lengths) & (lengths >= least)
        highest = (products + _ROUNDING * products.abs() + _LEAST_ROUNDING) / scale - offset
        inexact = difference + torch.from_numpy(errors[own])
        bounds[own] = torch.where(known, highest / lengths + inexact, -torch.inf).numpy()
        return bool(torch.isfinite(products[known]).all())

    return bounds if all(on_all_cores(bound, _pieces(table, norms))) else None


def float32_errors(table: WindowTable, norms: list[NDArray[np.float32]], directions: Directions) -> NDArray[np.float32]:
    """Give for each row how much float32 may put its score wrong, at most ``(n,)``.

    A sum of D products is off by ``D 2^-24`` of the sum of their sizes (Higham, *Accuracy and stability of numerical
    algorithms*, 2002, section 3.1): of a cosine's own, which is 1 at most, and of those that the mean is made of.
    A norm is off by as much as rounding the mean shifts each dimension.

    Args:
        norms: of `axlstm.collection.search.norms.read_norms`.
    """
    statistics = table.statistics
    ratio = np.abs(statistics.mean) / statistics.deviation  # (D,)
    of_mean = float((np.abs(directions.all) @ ratio).max())
    of_sums = len(ratio) * _FLOAT32
    fixed = of_sums + 4 * _FLOAT32 * (1 + float(ratio.max()))
    lengths = np.maximum(np.concatenate(norms), np.float32(least_norm(len(ratio))))  # (n,)
    return ((1 + directions.weight) * (fixed + of_sums * of_mean / lengths)).astype(np.float32)


class _Piece(NamedTuple):
    """Rows of a table that a thread computes at once: their vectors ``(m, D)`` and their norms ``(m,)``."""

    own: slice
    vectors: Tensor
    norms: Tensor


def _pieces(table: WindowTable, norms: list[NDArray[np.float32]]) -> Iterator[_Piece]:
    # A task for each thread at least: torch would spread the work of a single one, and its threads wait for each other.
    most = min(_CHUNK_ROWS, -(-len(table) // torch.get_num_threads()))
    for run, run_norms in zip(table.runs, norms, strict=True):
        for begin in range(0, run.rows, most):
            end = min(begin + most, run.rows)
            lengths = torch.from_numpy(run_norms[begin:end].copy())
            vectors = run.part.vectors[run.first + begin : run.first + end]
            yield _Piece(slice(run.begin + begin, run.begin + end), vectors, lengths)


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
