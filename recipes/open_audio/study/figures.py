"""Draw the validation loss of the study's runs."""

from __future__ import annotations

import json
from pathlib import Path

from axlstm.show.figures import new_figure, save_figure
from recipes.open_audio.study.runs import REFERENCES, Budget, training_runs
from recipes.open_audio.study.training import RUNS

_COLOURS = {"axlstm": "#1b6ca8", "ssast": "#c8553d"}
_STYLES = {"all": "-", "masked": ":"}
_POSITIONS_STYLE = "-."


def validation_curves(work: Path, budget: Budget, path: Path) -> None:
    """Draw a PNG: all seeds of the pair at the left, the ablations at the right. Runs without a loss are left out.

    Losses of different objectives cannot be compared by height.
    """
    figure = new_figure(10, 5.5)
    pair, ablations = figure.subplots(1, 2, sharey=True)
    for run in training_runs(budget):
        steps, losses = _curve(work / RUNS / run.name / "metrics.jsonl")
        if not steps:
            continue
        crops = [step * run.batch_share * budget.batch for step in steps]
        if run.budget_share >= 1:
            name = run.name.removesuffix("-seed0")
            label = None if "-seed" in name else name  # one of a pair's seeds stands for all
            style = _POSITIONS_STYLE if run.masked_positions else _STYLES[run.objective.loss]
            style = "--" if run.batch_share < 1 else style
            pair.plot(crops, losses, style, color=_COLOURS[run.family], alpha=0.8, linewidth=1.2, label=label)
        else:
            wide = 2.0 if run.name in REFERENCES.values() else 1.0
            ablations.plot(crops, losses, linewidth=wide, label=run.name)
    for axes, title in ((pair, f"{budget.seeds} pretraining seeds"), (ablations, "ablations")):
        axes.set(title=title, xlabel="crops of two seconds", yscale="log")
        axes.grid(alpha=0.3, which="both")
        if axes.has_data():
            axes.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    pair.set_ylabel("validation loss")
    save_figure(figure, path)


def _curve(path: Path) -> tuple[list[int], list[float]]:
    if not path.is_file():
        return [], []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    at = {line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line}
    return list(at), list(at.values())
