"""Draw how well a label is told: precision and recall, ROC, calibration and learning, as SVG."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from axlstm.collection.classifiers.assess import GRID, Assessment, Curve
from axlstm.show.figures import new_figure, svg_text

_COLOUR = "#0072B2"


def draw_label(assessment: Assessment, share: float) -> str:
    """Draw the curves of a label with their 95 % intervals.

    Args:
        share: of yes among the labelled windows, which is the precision of guessing.
    """
    figure = new_figure(12, 3.1)
    axes = figure.subplots(1, 4)
    _draw_curve(axes[0], assessment.precision_recall, "recall", "precision")
    axes[0].axhline(share, linestyle=":", color="#777777", linewidth=1)
    axes[0].plot(assessment.recall.mean, assessment.precision.mean, "o", color="#D55E00", markersize=5)
    _draw_curve(axes[1], assessment.roc, "share of no that is heard", "share of yes that is heard")
    axes[1].plot([0, 1], [0, 1], linestyle=":", color="#777777", linewidth=1)
    _draw_bins(axes[2], assessment)
    _draw_learning(axes[3], assessment)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    return svg_text(figure)


def _draw_curve(axis: Axes, curve: Curve, x: str, y: str) -> None:
    if np.isfinite(curve.low).any():
        axis.fill_between(GRID, curve.low, curve.high, color=_COLOUR, alpha=0.2, linewidth=0)
    axis.plot(GRID, curve.value, color=_COLOUR)
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)


def _draw_bins(axis: Axes, assessment: Assessment) -> None:
    axis.plot([0, 1], [0, 1], linestyle=":", color="#777777", linewidth=1)
    for one in assessment.bins:
        if math.isfinite(one.share.low):
            axis.plot([one.probability] * 2, [one.share.low, one.share.high], color=_COLOUR, linewidth=1)
        axis.plot(one.probability, one.share.mean, "o", color=_COLOUR, markersize=4)
    if not assessment.bins:
        axis.text(0.5, 0.5, "too few windows", ha="center", fontsize=8)
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_xlabel("probability", fontsize=8)
    axis.set_ylabel("share of yes", fontsize=8)


def _draw_learning(axis: Axes, assessment: Assessment) -> None:
    learning = assessment.learning
    axis.set_xlabel("labelled windows", fontsize=8)
    axis.set_ylabel("average precision", fontsize=8)
    axis.set(ylim=(0, 1.02))
    if learning is None:
        axis.text(0.5, 0.5, "too few windows", ha="center", fontsize=8, transform=axis.transAxes)
        return
    means = [one.mean for one in learning.averages]
    if all(math.isfinite(one.low) for one in learning.averages):
        low, high = [one.low for one in learning.averages], [one.high for one in learning.averages]
        axis.fill_between(learning.sizes, low, high, color=_COLOUR, alpha=0.2, linewidth=0)
    axis.plot(learning.sizes, means, "o-", color=_COLOUR, markersize=4)
