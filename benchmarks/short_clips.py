"""Clips and tails shorter than a window: computed as short as their sound, or filled up with zeros to a window.

python -m benchmarks short-clips TASKS [--seeds 3] [--work FOLDER]

TASKS is a folder of HEAR tasks, such as recipes/open_audio makes. Their clips were filled up with digital silence to
one length. Here that silence is cut off again, so that clips are as long as their sound; those with events keep theirs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import soundfile
import torch
import tyro
from numpy.typing import NDArray

import axlstm
from axlstm.embed.batching import embed_in_groups
from axlstm.evaluate.embedding.encoders import Candidate
from axlstm.evaluate.pipeline import EvaluationConfig, evaluate_models
from axlstm.evaluate.reporting.statistics import Scores, compare
from axlstm.evaluate.tasks.read import find_tasks
from axlstm.options import Padding, Pooling
from benchmarks.machine import describe_machine
from benchmarks.report import save

RATE = 16_000
METADATA = "task_metadata.json"
LEAST = 400  # samples that an embedding is defined for
PROTOCOLS = ("linear", "knn")
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
PADDINGS: tuple[Padding, ...] = ("none", "window")
_TIMED = 200  # clips of a task
_TENTHS = 600  # clips of 0.1 s


def short_clips(
    tasks: tyro.conf.Positional[Path],
    model: str = "axlstm-tiny",
    seeds: int = 3,
    work: Path | None = None,
    only: tuple[str, ...] = (),
) -> int:
    """Score both ways with the linear probe and with nearest neighbours, and time them on one thread.

    Args:
        tasks: folder of HEAR tasks.
        model: anything that `axlstm.load_model` takes.
        seeds: probes of each kind.
        work: keeps the shortened tasks and the scores; another call goes on there.
        only: names of tasks; all if empty.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = work or Path(temporary)
        chosen = [task for task in find_tasks(tasks) if not only or task.name in only]
        lengths = {task.name: _shorten(task, place / "tasks" / task.name) for task in chosen}
        rows = _scores(model, place, [task.name for task in chosen], seeds)
        for row in rows:
            row |= lengths[row["task"]] | _speed(model, _read(place / "tasks" / row["task"]))
    rng = np.random.default_rng(0)
    tenths = [0.1 * rng.standard_normal(RATE // 10).astype(np.float32) for _ in range(_TENTHS)]
    of_tenths = _speed(model, tenths)
    print(f"{_TENTHS} clips of 0.1 s: {of_tenths['seconds']:.1f} s without padding, {of_tenths['speed']:.1f}x")
    rows.sort(key=lambda row: row["task"])
    print("task, share of clips below 2 s, share whose last window is short, speed; then")
    print("probe, pooling, score without padding, score with it, difference [95 %]")
    differences: dict[str, list[float]] = {}
    for row in rows:
        print(f"{row['task']:28} {row['short']:6.0%} {row['tails']:6.0%} {row['speed']:6.1f}x")
        for key, (without, padded, mean, low, high) in row["scores"].items():
            print(f"    {key:24} {without:.3f} {padded:.3f} {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
            differences.setdefault(key, []).append(mean)
    for key, values in differences.items():
        print(f"mean difference over {len(values)} tasks, {key}: {np.mean(values):+.4f}")
    result = {"machine": describe_machine(), "model": model, "seeds": seeds, "tasks": rows, "clips of 0.1 s": of_tenths}
    save("short_clips", result)
    return 0


def _shorten(task: Path, out: Path) -> dict[str, float]:
    """Copy a task without the silence at the end of its clips; give the shares of short clips and of short tails."""
    metadata = json.loads((task / METADATA).read_text(encoding="utf-8"))
    keep = metadata["embedding_type"] == "event"
    seconds = []
    for path in sorted(task.rglob("*.wav")):
        target = out / path.relative_to(task)
        if not target.exists():
            samples, rate = soundfile.read(path, dtype="int16")
            heard = np.flatnonzero(samples)
            end = len(samples) if keep or not len(heard) else max(LEAST, int(heard[-1]) + 1)
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, samples[:end], rate, subtype="PCM_16")
        seconds.append(soundfile.info(target).duration)
    for path in task.iterdir():
        if path.is_file():
            shutil.copy(path, out / path.name)
    (out / METADATA).write_text(json.dumps({**metadata, "sample_duration": None}), encoding="utf-8")
    lengths = np.array(seconds)
    return {"short": float((lengths < 2).mean()), "tails": float((lengths % 2 > 0.02).mean())}


def _scores(model: str, place: Path, tasks: list[str], seeds: int) -> list[dict[str, Any]]:
    models = [
        Candidate(model, f"{pooling}-{padding}", {"pooling": pooling, "padding": padding})
        for padding in PADDINGS
        for pooling in POOLINGS
    ]
    rows: dict[str, dict[str, Any]] = {}
    for protocol in PROTOCOLS:
        config = EvaluationConfig(protocol=protocol, seeds=seeds if protocol == "linear" else 1)
        results = [evaluate_models(models, place / "tasks" / task, place / "out", config).results for task in tasks][-1]
        scores = Scores([result for result in results if result.task in tasks])
        for pooling in POOLINGS:
            names = [f"{pooling}-{padding}" for padding in PADDINGS]
            for difference in compare(scores, names[0], names[1]).differences:
                row = rows.setdefault(difference.task, {"task": difference.task, "scores": {}})
                both = [float(np.mean(scores.values(name, difference.task))) for name in names]
                interval = difference.interval
                row["scores"][f"{protocol}, {pooling}"] = [*both, interval.mean, interval.low, interval.high]
    return list(rows.values())


def _read(task: Path) -> list[NDArray[np.float32]]:
    """Read some of a task's clips."""
    paths = sorted((task / str(RATE)).rglob("*.wav"))
    return [soundfile.read(path, dtype="float32")[0] for path in paths[:: -(-len(paths) // _TIMED)]]


def _speed(model: str, clips: list[NDArray[np.float32]]) -> dict[str, float]:
    """Time embedding on one thread: with padding over without."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        took = []
        for padding in PADDINGS:
            embedder = axlstm.load_model(model, padding=padding)
            began = time.perf_counter()
            for _ in embed_in_groups(embedder, clips, RATE):
                pass
            took.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return {"speed": took[1] / took[0], "seconds": took[0]}
