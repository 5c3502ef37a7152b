"""Compute the density of calls from the windows that were drawn from bins of scores and judged.

The share of calls in a bin, P(+ | b), is estimated from all judged windows of the bin, and taken to be the same in all
groups. The density of a group is the sum over bins of P(+ | b) times the share of its windows in the bin, P(b | group)
(Navine et al. 2024, equations 2 and 7). Windows that are judged count as what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import DataError

_PRIOR = 0.5  # Jeffreys' of a share: calls, and windows without, that each bin is taken to have had before
_LIMITS = (0.025, 0.975)
_DEVIATIONS = 1.959964  # of a normal distribution, that 95 % lie within
_SURPRISING = 2.575829  # that 99 % lie within


@dataclass(frozen=True)
class Density:
    """The density of calls in a group of windows, with a 95 % interval.

    Args:
        windows: in the group.
        judged, heard: windows that were drawn and judged, and those of them with a call.
        expected: calls in the judged ones, if P(+ | b) is the same in all groups.
        is_surprising: whether ``heard`` is further from that than in 1 of 100 groups by chance.
    """

    windows: int
    density: float
    low: float
    high: float
    judged: int
    heard: int
    expected: float
    is_surprising: bool


@dataclass(frozen=True)
class Shares:
    """P(+ | b) of each bin with a 95 % interval, ``(B,)`` each."""

    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def estimate_shares(judged: NDArray[np.int64], heard: NDArray[np.int64]) -> Shares:
    """Estimate the share of calls in bins.

    The interval lies between the percentiles 2.5 and 97.5 of the posterior with Jeffreys' prior, and reaches 0 or 1
    where none or all have a call (Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001).

    Args:
        judged, heard: windows of each bin ``(B,)``.

    Raises:
        DataError: a bin without a judged window.
    """
    from scipy.stats import beta

    if (judged == 0).any():
        missing = ", ".join(str(number + 1) for number in np.flatnonzero(judged == 0))
        raise DataError(
            f"no window of bin {missing} is judged yet: judge more of those that were drawn, and import the labels"
        )
    low, high = (beta.ppf(limit, heard + _PRIOR, judged - heard + _PRIOR) for limit in _LIMITS)
    return Shares(heard / judged, np.where(heard == 0, 0.0, low), np.where(heard == judged, 1.0, high))


def estimate_density(
    windows: NDArray[np.int64], judged: NDArray[np.int64], heard: NDArray[np.int64], shares: Shares
) -> Density:
    """Estimate the density of a group.

    Its interval is made of those of the bins (Zou and Donner, "Construction of confidence limits about effect
    measures", Statistics in Medicine 27, 2008), and of what is left to chance in the windows that nobody has judged.

    Args:
        windows, judged, heard: of the group in each bin ``(B,)``.
        shares: of all groups together.
    """
    total, open = int(windows.sum()), windows - judged  # (B,)
    calls = heard.sum() + (open * shares.share).sum()
    chance = _DEVIATIONS**2 * (open * shares.share * (1 - shares.share)).sum()
    below = np.sqrt(np.square(open * (shares.share - shares.low)).sum() + chance)
    above = np.sqrt(np.square(open * (shares.high - shares.share)).sum() + chance)
    least, most = int(heard.sum()), int(heard.sum() + open.sum())  # that there can be
    expected = float((judged * shares.share).sum())
    deviation = np.sqrt((judged * shares.share * (1 - shares.share)).sum())
    is_surprising = abs(heard.sum() - expected) - 0.5 > _SURPRISING * deviation
    return Density(
        windows=total,
        density=float(calls / total),
        low=float(max(least, calls - below) / total),
        high=float(min(most, calls + above) / total),
        judged=int(judged.sum()),
        heard=least,
        expected=expected,
        is_surprising=bool(is_surprising),
    )
