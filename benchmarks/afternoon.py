"""Draw what labels bring: average precision by number of labels, from what `benchmarks suggest` measured.

python -m benchmarks afternoon --figure docs/figures/afternoon.png
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axlstm.show.figures import new_figure, save_figure
from benchmarks.report import RESULTS

WAYS = {"random": "--", "search + margin": "-"}
_COLOURS = ("#999999", "#0072b2", "#d55e00", "#009e73")


def afternoon(
    results: tuple[str, ...] = ("suggest", "suggest_rare"),
    weak_negatives: int = 100,
    figure: Path = Path("afternoon.png"),
) -> int:
    """Draw the results of simulations.

    Args:
        results: their names.
        weak_negatives: draw those with so many unlabelled windows that count as a weak no.
        figure: the picture.
    """
    rows = [row for name in results for row in json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["rows"]]
    rows = [row for row in rows if row["weak_negatives"] == weak_negatives]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    sheet = new_figure(3.0 * len(tasks), 3.4)
    axes = sheet.subplots(1, len(tasks), squeeze=False)[0]
    colours = dict(zip(dict.fromkeys(row["encoder"] for row in rows), _COLOURS, strict=False))
    for axis, task in zip(axes, tasks, strict=True):
        _draw(axis, [row for row in rows if row["task"] == task], colours)
        axis.set_title(task.replace("-v1-full", "").replace("_", " "), fontsize=9)
    axes[0].set_ylabel("average precision, groups held out")
    sheet.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    save_figure(sheet, figure)
    print(figure)
    return 0


def _draw(axis: Any, rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> None:
    for encoder, colour in colours.items():
        for way, style in WAYS.items():
            own = [row for row in rows if row["encoder"] == encoder and row["way"] == way]
            budgets, found = [row["budget"] for row in own], [row["average_precision"][0] for row in own]
            axis.plot(budgets, found, style, color=colour, marker="o", markersize=3, label=f"{encoder}, {way}")
    axis.set_xscale("log")
    axis.set_xticks(budgets, [str(budget) for budget in budgets])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel("labels", fontsize=8)
