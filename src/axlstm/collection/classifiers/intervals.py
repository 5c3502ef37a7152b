"""Compute 95 % intervals by drawing whole groups anew, since windows of one recording or site are alike.

The bootstrap of clusters (Davison and Hinkley, "Bootstrap methods and their application", 1997, section 3.8): as many
groups as there are, with replacement, each with all of its windows; the interval lies between the percentiles 2.5 and
97.5 of what is computed from the draws. It is too narrow for few groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from axlstm.evaluate.reporting.interval import Interval

DRAWS = 1000
FEW_GROUPS = 10
"""Groups below which an interval is to be read as too narrow."""

_MOST_VALUES = 1 << 22  # weights in memory at once
_LEAST_DRAWS = 0.5  # share of the draws that must have a value


def draw_groups(groups: NDArray[np.int64], seed: int = 0, draws: int = DRAWS) -> NDArray[np.float64]:
    """Draw groups anew: how often each one was drawn ``(draws, G)``, in the order of their numbers.

    Args:
        groups: of each window ``(n,)``.
    """
    count = len(np.unique(groups))
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


def by_groups(
    statistic: Callable[[NDArray[np.float64] | None], NDArray[np.float64]],
    groups: NDArray[np.int64],
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute statistics, and the lower and upper ends of their intervals, ``(k,)`` each.

    An end is NaN where there is one group only, or most draws have no value.

    Args:
        statistic: of weights ``(B, n)`` of windows: ``(B, k)``; of None, where each window counts once, ``(1, k)``.
        groups: of each window ``(n,)``.
    """
    value = statistic(None)[0]
    present, own = np.unique(groups, return_inverse=True)
    if len(present) < 2:
        return value, np.full(len(value), np.nan), np.full(len(value), np.nan)
    drawn = draw_groups(groups, seed)
    block = max(1, _MOST_VALUES // len(groups))
    found = np.concatenate([statistic(drawn[begin : begin + block][:, own]) for begin in range(0, len(drawn), block)])
    low, high = np.full(len(value), np.nan), np.full(len(value), np.nan)
    is_told = np.isfinite(found).mean(axis=0) >= _LEAST_DRAWS
    if is_told.any():
        low[is_told], high[is_told] = np.nanquantile(found[:, is_told], [0.025, 0.975], axis=0)
    return value, low, high


def as_interval(value: float, low: float, high: float) -> Interval:
    """Join a value and its ends."""
    return Interval(float(value), float(low), float(high))


def show(interval: Interval, form: str = ".2f") -> str:
    """Write a value with its interval, or alone where the interval is not known; a dash for no value.

    Args:
        form: of numbers, as `format` takes it.
    """
    if not math.isfinite(interval.mean):
        return "-"
    text = format(interval.mean, form)
    has_ends = math.isfinite(interval.low)
    return f"{text} ({format(interval.low, form)} to {format(interval.high, form)})" if has_ends else text
