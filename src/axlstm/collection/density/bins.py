"""Put windows into bins by their scores, and draw some from each.

From the lowest scores up, the bins hold half of all windows, a quarter, an eighth, and so on; the last two hold the
same. So the few windows with high scores are drawn more densely than the many with low ones (Navine, Denton, Weldy and
Hart, "All thresholds barred: direct estimation of call density in bioacoustic data", Frontiers in Bird Science 3, 2024,
1380636).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def find_edges(scores: NDArray[np.float64], bins: int, per_bin: int) -> NDArray[np.float64]:
    """Find the scores at which bins after the first begin, in order; alike ones are in one bin.

    Args:
        scores: of all windows ``(n,)``.
        bins: at most so many; fewer where the last would hold fewer windows than ``per_bin``.
    """
    most = 1 + max(0, math.floor(math.log2(max(1, len(scores) / per_bin))))
    edges = np.quantile(scores, [1 - 0.5**number for number in range(1, min(bins, most))], method="higher")
    return np.unique(edges[edges > scores.min()])


def find_bins(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Tell the bin of each score ``(n,)``."""
    return np.searchsorted(edges, scores, side="right").astype(np.int64)


def draw_rows(bins: NDArray[np.int64], per_bin: int, seed: int) -> NDArray[np.int64]:
    """Draw windows of each bin, all of a small one, without replacement; they come in a drawn order.

    Args:
        bins: of all windows ``(n,)``.

    Returns:
        the numbers of the windows.
    """
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.flatnonzero(bins == one))[:per_bin] for one in np.unique(bins)]
    return rng.permutation(np.concatenate(drawn))
