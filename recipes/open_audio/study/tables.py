"""Write the study's tables in Markdown: pairs compared over pretraining seeds and probe seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.evaluate.reporting.interval import Interval
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.reporting.statistics import BOOTSTRAP_DRAWS, Scores, overall_scores
from recipes.open_audio.study.runs import (
    FAMILIES,
    LONGER_FORMS,
    MORE_UPDATES,
    PEERS,
    REFERENCES,
    Budget,
    ablation_runs,
    deviation_variants,
    longer_run,
    seeded_models,
    training_runs,
)
from recipes.open_audio.study.training import RECORD, RUNS


@dataclass(frozen=True)
class Group:
    """Systems that are compared as one: the pretraining seeds of a model, or a single system."""

    name: str
    members: tuple[str, ...]


def groups(scores: Scores, budget: Budget) -> list[Group]:
    """Group the seeds of a model together, and every other system by itself."""
    found, pooled = [], set()
    for model in seeded_models(budget):
        members = tuple(run.name for run in model.runs(budget) if run.name in scores.models)
        pooled |= set(members)
        if members:
            found.append(Group(model.name, members))
    return found + [Group(model, (model,)) for model in scores.models if model not in pooled]


def compare_groups(scores: Scores, first: Group, second: Group, seed: int = 0) -> Interval:
    """Estimate the difference of the overall score, with a 95 % bootstrap interval.

    Tasks are normalised over all systems: 0 is the worst system's mean, 100 the best one's. A draw resamples
    pretraining seeds within a group, then probe seeds within each system and task. With one pretraining seed the
    interval says nothing about that source of chance.
    """
    tasks = scores.shared_tasks()
    rng = np.random.default_rng(seed)
    low, high = _range(scores, tasks)

    def overall(group: Group, draw: bool) -> float:
        members = list(rng.choice(group.members, len(group.members))) if draw else list(group.members)
        cells = []
        for member in members:
            for task in tasks:
                values = np.array(scores.values(member, task))
                cells.append((rng.choice(values, len(values)) if draw else values).mean())
        means = np.array(cells).reshape(len(members), len(tasks))
        return float((100 * (means - low) / (high - low)).mean())

    drawn = [overall(first, True) - overall(second, True) for _ in range(BOOTSTRAP_DRAWS)]
    ends = np.quantile(drawn, [0.025, 0.975])
    return Interval(overall(first, False) - overall(second, False), float(ends[0]), float(ends[1]))


def _range(scores: Scores, tasks: Sequence[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    means = np.array([[np.mean(scores.values(model, task)) for task in tasks] for model in scores.models])
    maximise = np.array([scores.maximise[task] for task in tasks])
    worst = np.where(maximise, means.min(axis=0), means.max(axis=0))
    best = np.where(maximise, means.max(axis=0), means.min(axis=0))
    best = np.where(best == worst, worst + 1, best)
    return worst, best


def study_markdown(results: Sequence[Result], work: Path, budget: Budget, speeds: dict[str, float]) -> str:
    """Write the study's tables: systems, comparisons, ablations, and the training runs."""
    scores = Scores(results)
    overall = overall_scores(scores)
    parameters = {r.model: r.run.get("parameters") for r in results}
    lines = ["## Systems", "", _systems_table(scores, overall, parameters, speeds), ""]
    lines += ["## Comparisons", "", _comparison_table(scores, budget), ""]
    lines += ["## Training runs", "", _runs_table(work, budget), ""]
    return "\n".join(lines)


def _systems_table(
    scores: Scores, overall: dict[str, Interval], parameters: dict[str, Any], speeds: dict[str, float]
) -> str:
    tasks = scores.tasks
    lines = [
        "| system | parameters | clips/s | " + " | ".join(map(short, tasks)) + " | s(m) |",
        "|---" * (len(tasks) + 4) + "|",
    ]
    ordered = sorted(scores.models, key=lambda model: -(overall[model].mean if model in overall else 0.0))
    for model in ordered:
        cells = []
        for task in tasks:
            interval = scores.interval(model, task)
            cells.append("-" if interval is None else f"{interval.mean:.3f} ± {interval.half_width:.3f}")
        count, speed = parameters.get(model), speeds.get(model)
        size = f"{count / 1e6:.2f} M" if count else "-"
        total = _with_interval(overall[model]) if overall else "-"
        row = [model, size, "-" if speed is None else f"{speed:.0f}", *cells, total]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _comparison_table(scores: Scores, budget: Budget) -> str:
    named = {group.name: group for group in groups(scores, budget)}
    ours, twin = f"axlstm-{budget.size}", f"ssast-{budget.size}"
    first = f"{ours}-seed0"
    named |= {model: Group(model, (model,)) for model in scores.models}
    pairs = [
        (ours, twin),
        (ours, f"{ours}-untrained"),
        (twin, f"{twin}-untrained"),
        (ours, "logmel"),
        (twin, "logmel"),
        *((ours, peer) for peer in PEERS),
        (f"{ours}-masked", f"{twin}-masked"),
        *((f"{model}-masked", other) for model in (ours, twin) for other in (model, f"{model}-untrained", "logmel")),
        *((f"{ours}-masked", peer) for peer in PEERS),
        (f"{ours}-masked", f"{twin}-positions"),
        (f"{ours}-positions", f"{twin}-positions"),
        *((f"{model}-positions", f"{model}-masked") for model in (ours, twin)),
        *((f"{twin}-positions", other) for other in (f"{twin}-untrained", "logmel")),
        ("axlstm-layout-published", first),
        ("axlstm-mean-of-layers", first),
        *deviation_variants(budget).items(),
        *((variant, "logmel") for variant in deviation_variants(budget)),
        *(
            (f"{family}-{budget.size}-{form}-longer", f"{family}-{budget.size}-{form}-seed0")
            for family, form in LONGER_FORMS.items()
        ),
        tuple(longer_run(family, budget).name for family in FAMILIES),
        *((longer_run(family, budget).name, "logmel") for family in FAMILIES),
        *((f"{longer_run('axlstm', budget).name}{which}", peer) for which in ("", "-deviation") for peer in PEERS),
        (MORE_UPDATES, f"{twin}-seed0"),
        *((reference, f"{family}-{budget.size}-seed0") for family, reference in REFERENCES.items()),
        *((run.name, REFERENCES[family]) for family in FAMILIES for run in ablation_runs(family, budget)[1:]),
    ]
    lines = [
        "| first | second | difference of s(m), 95 % interval | tasks won | excludes zero |",
        "|---|---|---|---|---|",
    ]
    for a, b in [(named[a], named[b]) for a, b in pairs if a in named and b in named]:
        interval = compare_groups(scores, a, b)
        sure = "yes" if interval.low > 0 or interval.high < 0 else "no"
        lines.append(
            f"| {a.name} | {b.name} | {interval.mean:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}] "
            f"| {_won(scores, a, b)} of {len(scores.shared_tasks())} | {sure} |"
        )
    return "\n".join(lines)


def short(task: str) -> str:
    """Shorten a HEAR task's name by its version and size."""
    return task.partition("-v")[0].replace("_", " ")


def _with_interval(interval: Interval) -> str:
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def _won(scores: Scores, a: Group, b: Group) -> int:
    def mean(group: Group, task: str) -> float:
        return float(np.mean([np.mean(scores.values(member, task)) for member in group.members]))

    tasks = scores.shared_tasks()
    return sum((mean(a, task) > mean(b, task)) == scores.maximise[task] for task in tasks)


def _runs_table(work: Path, budget: Budget) -> str:
    lines = [
        "| run | parameters | hours of audio | crops | validation loss (lowest) | of the mean | hours | crops/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in training_runs(budget):
        folder = work / RUNS / run.name
        if not (folder / "summary.json").is_file() or not (folder / RECORD).is_file():
            continue
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        lines.append(
            f"| {run.name} | {summary['parameters'] / 1e6:.2f} M | {record['hours_of_audio']:.1f} | {summary['crops']} "
            f"| {summary['validation_loss']:.4f} ({summary['best_validation_loss']:.4f}) "
            f"| {summary['baseline']['mean']:.4f} | {summary['train_hours']:.2f} | {summary['crops_per_second']:.1f} |"
        )
    return "\n".join(lines)
