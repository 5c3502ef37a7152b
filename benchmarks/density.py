"""Try intervals of the density of calls on made-up windows, of which all is known.

python -m benchmarks density
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.density.bins import draw_rows, find_bins, find_edges
from axlstm.collection.density.estimate import estimate_density, estimate_shares
from benchmarks.report import save

_WINDOWS, _BINS, _PER_BIN, _DRAWS = 6000, 8, 25, 1000
_SMALL = 0.05  # share of the windows in a small group


def density(studies: int = 600) -> int:
    """Draw, judge and estimate in many made-up studies, and count how often intervals hold the density.

    Calls score ``distance`` deviations above the rest. ``ours`` is the interval of `axlstm density estimate`, for all
    windows and for a group of 300; the others are of the posterior of the sum, with a beta prior in each bin.

    Args:
        studies: of each density and classifier.
    """
    rows: list[dict[str, Any]] = []
    for share in (0.002, 0.02, 0.1, 0.4):
        for distance in (1.0, 2.5):
            rng = np.random.default_rng(round(1000 * share + distance))
            held = [_study(rng, share, distance) for _ in range(studies)]
            names = ("ours", "ours, group", "prior 1/8", "prior 1/2")
            shares = dict(zip(names, np.mean(held, axis=0).round(3).tolist(), strict=True))
            rows.append({"density": share, "distance": distance, **shares})
            print(rows[-1], flush=True)
    save("density", {"studies": studies, "rows": rows})
    return 0


def _study(rng: np.random.Generator, share: float, distance: float) -> list[bool]:
    is_call = rng.random(_WINDOWS) < share
    scores = rng.normal(size=_WINDOWS) + distance * is_call
    is_small = rng.random(_WINDOWS) < _SMALL
    edges = find_edges(scores, _BINS, _PER_BIN)
    bins = find_bins(scores, edges)
    drawn = draw_rows(bins, _PER_BIN, int(rng.integers(1 << 30)))
    is_drawn = np.zeros(_WINDOWS, bool)
    is_drawn[drawn] = True

    def count(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(bins[chosen], minlength=len(edges) + 1)

    windows, judged, heard = count(np.ones(_WINDOWS, bool)), count(is_drawn), count(is_drawn & is_call)
    shares = estimate_shares(judged, heard)
    ours = estimate_density(windows, judged, heard, shares)
    is_heard = is_drawn & is_call
    small = estimate_density(count(is_small), count(is_small & is_drawn), count(is_small & is_heard), shares)
    found = [(ours.low, ours.high, is_call.mean()), (small.low, small.high, is_call[is_small].mean())]
    for prior in (1 / 8, 1 / 2):
        posterior = rng.beta(heard + prior, judged - heard + prior, size=(_DRAWS, len(windows)))
        calls = (heard + rng.binomial(windows - judged, posterior)).sum(axis=1)
        found.append((*np.quantile(calls / _WINDOWS, [0.025, 0.975]), is_call.mean()))
    return [bool(low - 1e-12 <= true <= high + 1e-12) for low, high, true in found]
