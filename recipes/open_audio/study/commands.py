"""Run the study's commands: train, train-one (a process of train), study, ship."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Literal

from axlstm.files import write_atomically
from recipes.open_audio.ladder.parts import leave_out_set_aside
from recipes.open_audio.shards import SHARDS
from recipes.open_audio.study.evaluation import clips_per_second, evaluate_systems, load_system, results_of
from recipes.open_audio.study.figures import validation_curves
from recipes.open_audio.study.finetuning import finetune_study
from recipes.open_audio.study.runs import Budget, systems
from recipes.open_audio.study.ship import best_run, ship
from recipes.open_audio.study.tables import study_markdown
from recipes.open_audio.study.training import RUNS, read_budget, train_all, train_one

ProtocolName = Literal["published", "hear", "standardised", "linear", "knn"]
PROTOCOL: ProtocolName = "linear"  # a probe with a hidden layer costs ten times as much
SPEEDS = "clips_per_second.json"
_SPEED_PASSES = 4  # over all systems, as a machine is slower for minutes at a time
_BUDGET = Budget()
_WEIGHTS = Path(__file__).parents[3] / "src" / "axlstm" / "weights"


def train(
    work: Path,
    shards: Path | None = None,
    budget: Budget = _BUDGET,
    jobs: int = 1,
    only: tuple[str, ...] = (),
) -> int:
    """Train the study's models in WORK/runs; the same command resumes an interrupted training.

    Args:
        work: folder of the study.
        shards: pretraining shards, instead of WORK/shards.
        budget: of every run.
        jobs: runs side by side, each with its share of the cores.
        only: names of runs, instead of all.
    """
    train_all(work, shards or work / SHARDS, budget, jobs, only, _report)
    return 0


def train_one_run(work: Path, shards: Path, name: str, threads: int) -> int:
    """Train one run in this process, as train starts it."""
    summary = train_one(work, shards, name, read_budget(work), threads)
    return 0 if summary["finished"] else 3


def study(
    work: Path,
    tasks: Path | None = None,
    encoders: Path | None = None,
    out: Path | None = None,
    seeds: int = 10,
    protocol: ProtocolName = PROTOCOL,
    only: tuple[str, ...] = (),
    final: bool = False,
) -> int:
    """Evaluate all systems that have weights, and write the report and the study's tables.

    Args:
        work: folder of the study, with its training runs.
        tasks: the suite, instead of WORK/tasks.
        encoders: folder of the other encoders' weights; without it these encoders are left out.
        out: folder for embeddings, results and the report, instead of WORK/study.
        seeds: of the probes.
        protocol: of the probes.
        only: names of systems, instead of all.
        final: leave the folds that the ladder chose by out of the tables.
    """
    budget, out = read_budget(work), out or work / "study"
    chosen = [system for system in systems(work / RUNS, budget, encoders) if not only or system.name in only]
    failed = evaluate_systems(chosen, tasks or work / "tasks", out, seeds, protocol, _report)
    path = out / SPEEDS
    speeds: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    unmeasured = [system for system in chosen if system.name not in speeds and system.name not in failed]
    for _ in range(_SPEED_PASSES):
        for system in unmeasured:
            speeds[system.name] = max(speeds.get(system.name, 0.0), clips_per_second(load_system(system)))
    write_atomically(path, json.dumps(speeds, indent=2).encode())
    results = results_of(out, protocol)
    text = study_markdown(leave_out_set_aside(results) if final else results, work, budget, speeds)
    write_atomically(out / "study.md", text.encode())
    validation_curves(work, budget, out / "validation_loss.png")
    print(text)
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def ship_weights(
    work: Path,
    out: Path = _WEIGHTS,
    family: Literal["axlstm", "ssast"] = "axlstm",
    protocol: ProtocolName = PROTOCOL,
) -> int:
    """Make the study's best model of a family the weights that come with the package, with a model card.

    Args:
        work: folder of the study.
        out: the package's folder of weights.
        family: of the model.
        protocol: of the results to choose by.
    """
    budget = read_budget(work)
    results = results_of(work / "study", protocol)
    run = best_run(results, family, budget)
    folder = out / f"{family}-{budget.size}"
    size = ship(work, run, results, budget, folder, protocol)
    print(f"{run} -> {folder}: {size:.2f} MB")
    return 0


def _report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def finetune_tasks(
    tasks: Path,
    out: Path,
    only: tuple[str, ...] = (),
    models: tuple[str, ...] = ("axlstm-tiny",),
    seeds: int = 3,
    shares: tuple[float, ...] = (1.0,),
    most_folds: int = 10,
    epochs: float = 20.0,
    threads: int | None = None,
) -> int:
    """Fine-tune on tasks, beside the frozen probe and random weights; OUT/finetuning.json has all numbers.

    Each run has a folder; the same command takes up an interrupted one and leaves finished ones alone.

    Args:
        tasks: folder of HEAR task folders.
        out: folder of the runs.
        only: beginnings of names of tasks; all of them without any.
        models: what to begin with.
        seeds: of splits, order and probes.
        shares: of the labels of the training clips.
        most_folds: of a task with folds that are tested with.
        epochs: of the schedule.
        threads: of a run; torch's choice without it.
    """
    table = finetune_study(
        tasks, out, only, models, seeds, shares, most_folds, epochs, threads, lambda line: print(line, flush=True)
    )
    print("\n".join(table))
    return 0
