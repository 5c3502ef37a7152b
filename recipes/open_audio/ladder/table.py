"""Write the table of pilots in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recipes.open_audio.ladder.pilots import pilots
from recipes.open_audio.ladder.scoring import MEASURES, Scores, mean_difference, mean_score

_TITLES = ["pilot", "what", "cost of a step", "steps", "crops", "loss of pixels"]


def ladder_markdown(results: Mapping[str, Any]) -> str:
    """Write a row for each pilot and reference: mean scores over tasks, and the difference to the base recipe."""
    titles = [*_TITLES, *(title for measure in MEASURES for title in (measure, "difference to base", "tasks won"))]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    runs, scores = results["runs"], results["scores"]
    base: Scores | None = scores.get(pilots()[0].name)
    references = sorted(set(scores) - set(runs))
    for name in [*(pilot.name for pilot in pilots() if pilot.name in runs), *references]:
        run = runs.get(name)
        cells = [name]
        if run:
            cells += [run["what"], f"{run['step_cost']:.2f}", str(run["steps"]), str(run["crops"])]
            cells += [f"{run['losses'].get('loss', float('nan')):.3f}"]
        else:
            cells += ["-"] * (len(_TITLES) - 1)
        for measure in MEASURES:
            mine = scores[name][measure]
            cells.append(f"{100 * mean_score(mine):.1f}")
            if base is None or name == pilots()[0].name:
                cells += ["", ""]
                continue
            difference, half, won = mean_difference(mine, base[measure])
            cells += [f"{100 * difference:+.1f} ± {100 * half:.1f}", f"{won} of {len(mine)}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def learnt(results: Mapping[str, Any]) -> str:
    """Write the last losses of targets that are standardised: 1 is the loss of predicting their mean."""
    names = sorted({loss for run in results["runs"].values() for loss in run["losses"] if loss != "loss"})
    if not names:
        return ""
    lines = [f"| pilot | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for pilot, run in results["runs"].items():
        cells = [f"{run['losses'][name]:.3f}" if name in run["losses"] else "-" for name in names]
        if set(cells) != {"-"}:
            lines.append(f"| {pilot} | {' | '.join(cells)} |")
    return "\n".join(lines)
