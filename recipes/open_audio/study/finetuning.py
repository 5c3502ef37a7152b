"""Compare the frozen probe, fine-tuning, and fine-tuning from random weights on tasks, over seeds, folds and shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from axlstm.errors import ConfigError
from axlstm.evaluate.reporting.interval import Interval
from axlstm.evaluate.tasks.read import find_tasks
from axlstm.files import write_atomically
from axlstm.finetuning.config import AdaptConfig, ClipsConfig, FinetuneConfig
from axlstm.finetuning.run import finetune
from axlstm.finetuning.sources import read_clips
from axlstm.finetuning.splits import count_folds
from axlstm.training.config import ScheduleConfig
from recipes.open_audio.study.machine import describe_machine

RESULTS = "finetuning.json"


@dataclass(frozen=True)
class Trial:
    """One run: a task's fold, a model, a seed, a share of the labels, and whether the weights begin as random ones."""

    task: str
    model: str
    seed: int
    fold: int
    share: float
    fresh: bool

    @property
    def folder(self) -> str:
        """Return its place below the study's folder."""
        begin = "random" if self.fresh else "pretrained"
        return f"{self.task}/{Path(self.model).name}-{begin}/share-{self.share:g}/seed-{self.seed}/fold-{self.fold}"


def finetune_study(
    tasks: Path,
    out: Path,
    only: tuple[str, ...] = (),
    models: tuple[str, ...] = ("axlstm-tiny",),
    seeds: int = 3,
    shares: tuple[float, ...] = (1.0,),
    most_folds: int = 10,
    epochs: float = 20.0,
    threads: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Fine-tune on tasks; returns a table of what it brought beside the frozen probe and beside random weights.

    Each run has a folder; the same command takes up an interrupted one and leaves finished ones alone.

    Args:
        tasks: folder of HEAR task folders.
        out: folder of the runs, and of finetuning.json.
        only: beginnings of names of tasks; all of them without any.
        models: what to begin with.
        seeds: of splits, order and probes.
        shares: of the labels of the training clips.
        most_folds: of a task with folds that are tested with.
        epochs: of the schedule.
        threads: of a run; torch's choice without it.
        tell: called with the numbers of each run.
    """
    found = {path.name: path for path in find_tasks(tasks)}
    chosen = {name: path for name, path in found.items() if not only or name.startswith(only)}
    if not chosen:
        raise ConfigError(f"{tasks}: no task begins with {', '.join(only)}; there are {', '.join(found)}")
    rows: list[dict[str, Any]] = []
    for trial in _trials(chosen, models, seeds, shares, most_folds):
        usual = FinetuneConfig()
        config = FinetuneConfig(
            seed=trial.seed,
            adapt=AdaptConfig(fresh=trial.fresh),
            clips=ClipsConfig(share=trial.share),
            schedule=ScheduleConfig(epochs=epochs, warmup_epochs=1.0),
            hardware=replace(usual.hardware, threads=threads),
        )
        summary = finetune(trial.model, chosen[trial.task], out / trial.folder, config, fold=trial.fold)
        name = summary["score"]
        rows.append(
            {
                **asdict(trial),
                "score": name,
                "tuned": summary["scores"][name][0],
                "probe": None if trial.fresh else summary["probe"].get(name, [None])[0],
                "best_epoch": summary["best_epoch"],
                "minutes": 60 * summary["train_hours"],
                "clips": summary["clips"],
            }
        )
        tell(json.dumps(rows[-1]))
        told = {"machine": describe_machine(), "rows": rows, "table": make_table(rows)}
        write_atomically(out / RESULTS, (json.dumps(told, indent=1) + "\n").encode())
    return make_table(rows)


def _trials(
    tasks: dict[str, Path], models: Sequence[str], seeds: int, shares: Sequence[float], most_folds: int
) -> Iterator[Trial]:
    """List the runs; those of the first seed of all tasks come first, so that an early end tells of each."""
    folds = {name: min(most_folds, count_folds(read_clips(path), 0)) for name, path in tasks.items()}
    for seed in range(seeds):
        for name in tasks:
            for model in models:
                for share in shares:
                    for fresh in (False, True):
                        for fold in range(folds[name]):
                            yield Trial(name, model, seed, fold, share, fresh)


def make_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a table: for each task, model and share the three scores, and what fine-tuning gained."""
    lines = [
        "| task | model | labels | score | frozen probe | fine-tuned | from random weights | gain over the probe |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    keys = dict.fromkeys((row["task"], row["model"], row["share"], row["score"]) for row in rows)
    for task, model, share, score in keys:
        own = [row for row in rows if (row["task"], row["model"], row["share"]) == (task, model, share)]
        given = _by_seed([row for row in own if not row["fresh"]])
        fresh = _by_seed([row for row in own if row["fresh"]])
        cells = [
            _show([one["probe"] for one in given]),
            _show([one["tuned"] for one in given]),
            _show([one["tuned"] for one in fresh]),
            _show([one["tuned"] - one["probe"] for one in given if one["probe"] is not None], "+.3f"),
        ]
        lines.append(f"| {task} | {Path(model).name} | {100 * share:g} % | {score} | {' | '.join(cells)} |")
    return lines


def _by_seed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average the folds of each seed; a seed that lacks folds which another one has is left out."""
    folds = {seed: [row for row in rows if row["seed"] == seed] for seed in sorted({row["seed"] for row in rows})}
    most = max(map(len, folds.values()), default=0)
    full = [own for own in folds.values() if len(own) == most]
    return [{key: _mean([row[key] for row in own]) for key in ("probe", "tuned")} for own in full]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def interval_of(values: Sequence[float]) -> Interval:
    """Return the mean of seeds with its 95 % interval by Student's t; of one seed the mean alone."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, count - 1)) * float(np.std(values, ddof=1)) / count**0.5
    return Interval(mean, mean - half, mean + half)


def _show(values: Sequence[float | None], form: str = ".3f") -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    interval = interval_of(known)
    ends = "" if np.isnan(interval.low) else f" ({interval.low:{form}} to {interval.high:{form}})"
    return f"{interval.mean:{form}}{ends}"
