"""Draw the figures of a report, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from axlstm.evaluate.reporting.interval import Interval
from axlstm.evaluate.reporting.statistics import Scores
from axlstm.show.figures import plain_text, svg_text

# Okabe and Ito's colours, which colour-blind readers tell apart; the markers differ too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_MOST_CLASS_NAMES = 30


def draw_scores(scores: Scores) -> str:
    """Draw one panel for each task: every model's mean score and 95 % interval."""
    columns = min(4, len(scores.tasks))
    rows = math.ceil(len(scores.tasks) / columns)
    height = 0.7 + 0.28 * len(scores.models)
    figure = Figure(figsize=(3.1 * columns + 1.2, height * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(scores.tasks) :]:
        axis.set_visible(False)
    for axis, task in zip(axes.flat, scores.tasks, strict=False):
        for y, model in enumerate(scores.models):
            interval = scores.interval(model, task)
            if interval is not None:
                half = interval.half_width if math.isfinite(interval.half_width) else 0.0
                axis.errorbar(interval.mean, y, xerr=half, capsize=3, markersize=5, **_style(y))
        arrow = "" if scores.maximise[task] else " (less is better)"
        axis.set_title(f"{plain_text(task)}\n{scores.score_names[task]}{arrow}", fontsize=8)
        axis.set_yticks(range(len(scores.models)), list(map(plain_text, scores.models)), fontsize=8)
        axis.set_ylim(len(scores.models) - 0.5, -0.5)
        axis.tick_params(axis="x", labelsize=7)
        _clean(axis)
    return svg_text(figure)


def draw_overall(models: Sequence[str], overall: Mapping[str, Interval], parameters: Mapping[str, int]) -> str:
    """Draw overall score against parameters. Models of unknown size are dashed lines at the left edge."""
    figure = Figure(figsize=(8.4, max(4.0, 0.5 + 0.19 * len(models))), layout="constrained")
    axis = figure.subplots()
    for i, model in enumerate(models):
        value = overall[model]
        if model in parameters:
            error = [[max(0.0, value.mean - value.low)], [max(0.0, value.high - value.mean)]]
            axis.errorbar(
                parameters[model] / 1e6, value.mean, yerr=error, capsize=3, label=plain_text(model), **_style(i)
            )
        else:
            line = {"linestyle": "--", "linewidth": 1, "color": _style(i)["color"]}
            axis.axhline(value.mean, label=f"{plain_text(model)} (size unknown)", **line)
    if set(models) & set(parameters):
        axis.set_xscale("log")
    else:
        axis.set_xticks([])
    axis.set(xlabel="parameters (millions)", ylabel="overall score s(m)")
    figure.legend(fontsize=8, frameon=False, loc="outside right upper")
    _clean(axis)
    return svg_text(figure)


def draw_ranks(ranks: Mapping[str, float], critical: float) -> str:
    """Draw mean ranks on a line. A bar joins models that the critical difference does not tell apart."""
    order = sorted(ranks, key=lambda model: ranks[model])
    groups = [group for group in _cliques([ranks[model] for model in order], critical) if len(group) > 1]
    figure = Figure(figsize=(6.4, 1.0 + 0.26 * len(order) + 0.14 * len(groups)), layout="constrained")
    axis = figure.subplots()
    colours = {model: _style(i)["color"] for i, model in enumerate(sorted(ranks))}
    for level, group in enumerate(groups):
        ends = [ranks[order[group[0]]] - 0.03, ranks[order[group[-1]]] + 0.03]
        axis.plot(ends, [-0.35 - 0.3 * level] * 2, color="#555555", linewidth=3, solid_capstyle="round")
    for i, model in enumerate(order):
        y = i + 0.6
        axis.plot([ranks[model]] * 2, [0, y], color=colours[model], linewidth=1)
        axis.plot(ranks[model], 0, "o", color=colours[model], markersize=5)
        name = f"{plain_text(model)}  {ranks[model]:.2f}"
        axis.annotate(name, (ranks[model], y), (4, 0), textcoords="offset points", fontsize=8)
    axis.set(xlim=(0.8, len(order) + 0.9), ylim=(len(order) + 0.4, -0.8 - 0.3 * len(groups)), yticks=[])
    axis.set_xlabel(f"mean rank (1 is best); critical difference {critical:.2f}", fontsize=8)
    axis.spines[["top", "right", "left"]].set_visible(False)
    return svg_text(figure)


def draw_confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Draw the share of each true class (rows) that was predicted as each class."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (K, K)
    classes = len(counts)
    side = min(8.0, 2.2 + 0.22 * classes)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if classes <= _MOST_CLASS_NAMES:
        names = list(map(plain_text, labels))
        axis.set_xticks(range(classes), names, rotation=90, fontsize=7)
        axis.set_yticks(range(classes), names, fontsize=7)
    axis.set_xlabel("predicted", fontsize=8)
    axis.set_ylabel("true", fontsize=8)
    figure.colorbar(image, ax=axis, shrink=0.7).ax.tick_params(labelsize=7)
    return svg_text(figure)


def _cliques(ranks: Sequence[float], critical: float) -> list[range]:
    """Find the longest runs of sorted ranks that span less than the critical difference."""
    runs: list[range] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if i >= first and not other - rank > critical)
        if not runs or last >= runs[-1].stop:
            runs.append(range(first, last + 1))
    return runs


def _style(i: int) -> dict[str, Any]:
    """Return the colour and marker of a model by its number; 49 of them differ."""
    marker = _MARKERS[(i + i // len(_COLOURS)) % len(_MARKERS)]
    return {"color": _COLOURS[i % len(_COLOURS)], "marker": marker, "linestyle": "none"}


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#e5e5e5", linewidth=0.6)
    axis.set_axisbelow(True)
