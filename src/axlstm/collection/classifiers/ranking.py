"""Judge how well scores order yes before no: average precision, precision-recall and ROC curves, with weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ranking:
    """The weights of yes and no at or above each distinct score, highest score first, for B weightings of n windows.

    Args:
        thresholds: the distinct scores ``(m,)``.
        yes, no: the weight of windows of either kind at or above each of them ``(B, m)``.
    """

    thresholds: NDArray[np.float64]
    yes: NDArray[np.float64]
    no: NDArray[np.float64]

    @property
    def precision(self) -> NDArray[np.float64]:
        """Return the share of yes at or above each score ``(B, m)``; 1 where a weighting has nothing there."""
        total = self.yes + self.no
        return np.where(total > 0, self.yes / np.where(total > 0, total, 1), 1.0)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Return the share of all yes at or above each score ``(B, m)``; NaN in a weighting without any."""
        return _share(self.yes)

    @property
    def false_alarms(self) -> NDArray[np.float64]:
        """Return the share of all no at or above each score ``(B, m)``; NaN in a weighting without any."""
        return _share(self.no)

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """Compute the sum over scores of the precision times what they add to the recall ``(B,)``."""
        return (np.diff(self.recall, axis=1, prepend=0) * self.precision).sum(axis=1)

    @property
    def area_under_roc(self) -> NDArray[np.float64]:
        """Compute the share of pairs of a yes and a no in which the yes has the higher score; ties count half."""
        above = self.recall - np.diff(self.recall, axis=1, prepend=0) / 2
        area: NDArray[np.float64] = (np.diff(self.false_alarms, axis=1, prepend=0) * above).sum(axis=1)
        return area


def rank(is_yes: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> Ranking:
    """Order windows by their scores ``(n,)``.

    Args:
        is_yes: ``(n,)``.
        weights: ``(B, n)``; all 1, once, without any.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, yes = scores[order], is_yes[order]
    weights = np.ones((1, len(scores))) if weights is None else weights[:, order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)  # of windows of one score
    total = np.cumsum(weights, axis=1)[:, is_last]
    of_yes = np.cumsum(weights * yes, axis=1)[:, is_last]
    return Ranking(ordered[is_last], of_yes, total - of_yes)


def _share(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = counts[:, -1:]
    return np.where(whole > 0, counts / np.where(whole > 0, whole, 1), np.nan)
