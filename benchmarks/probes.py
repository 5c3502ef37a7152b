"""Measure CPU time and scores of the probes against hear-eval-kit's own.

    python -m benchmarks probes TASKS          # the kit's reference tasks; its numbers are in tests/data/hear
    python -m benchmarks probes-exact TASKS    # every digit of the kit's results
    python -m benchmarks probes-growth         # cost by seeds, grid points, clips and embedding size
    python -m benchmarks probes-large          # a task of FSD50K's size: time and memory

One thread; `time.process_time`, so that other work on the machine counts as little as possible.
"""

from __future__ import annotations

import csv
import json
import math
import pickle
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tyro.conf import Positional

from axlstm.errors import ConfigError
from axlstm.evaluate.embedding.packed import EmbeddedTask, read_embeddings
from axlstm.evaluate.probes.batched import Compute
from axlstm.evaluate.probes.outcome import Outcome
from axlstm.evaluate.probes.probe import probe_embeddings
from axlstm.evaluate.probes.protocol import Protocol, find_protocol
from axlstm.evaluate.reporting.statistics import t_interval
from axlstm.options import ProbePrecision
from benchmarks.machine import describe_machine
from benchmarks.report import save

RESULTS = Path(__file__).parent.parent / "tests" / "data" / "hear" / "results"
VARIANTS = {"published_grid": "published", "upstream_grid": "hear"}
UNPROMISED = ("test_loss", "time_in_min")


def run(
    task: EmbeddedTask, seeds: Sequence[int], protocol: Protocol, exact: bool = False, compute: Compute | None = None
) -> tuple[list[Outcome], float]:
    """Return the outcomes, and CPU seconds a seed."""
    began = time.process_time()
    outcomes = list(probe_embeddings(task, seeds, protocol, exact, compute))
    return outcomes, (time.process_time() - began) / len(seeds)


def score_of(outcome: Outcome) -> float:
    return float(np.mean([split.values["test_score"] for split in outcome.splits]))


def read_summary() -> list[dict[str, str]]:
    with (RESULTS / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _reference_tasks(tasks: Path) -> None:
    """Refuse a folder without any of the kit's reference tasks."""
    names = sorted({row["task"] for row in read_summary()})
    if not any((tasks / name).is_dir() for name in names):
        raise ConfigError(f"{tasks}: expected embeddings directories of the kit's reference tasks, {', '.join(names)}")


def against_kit(tasks: Positional[Path], seeds: int = 10, precision: ProbePrecision = "auto") -> int:
    """Print CPU seconds a seed of the kit and of our exact and batched probes, their ratio, and the scores.

    Args:
        tasks: folder of embeddings directories: mc960, ml960, kfold2000.
        seeds: 0 to SEEDS - 1.
        precision: of the batched probes.
    """
    _reference_tasks(tasks)
    torch.set_num_threads(1)
    print(
        "| grid | task | kit CPU s | exact CPU s | batched CPU s | kit / batched | exact mean | batched mean | inside |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    rows = read_summary()
    measured: list[dict[str, Any]] = []
    for variant, name in VARIANTS.items():
        for task_name in sorted({row["task"] for row in rows if row["variant"] == variant}):
            if not (tasks / task_name).is_dir():
                continue
            kit = np.mean([float(r["cpu_s"]) for r in rows if (r["variant"], r["task"]) == (variant, task_name)])
            task, protocol = read_embeddings(tasks / task_name), find_protocol(name)
            batched, batched_s = run(task, range(seeds), protocol, compute=Compute(precision=precision))
            # The upstream grid takes minutes a seed one after another: its scores are not repeated.
            exact, exact_s = run(task, range(seeds), protocol, exact=True) if name == "published" else ([], math.nan)
            mean = float(np.mean([score_of(outcome) for outcome in batched]))
            interval = t_interval([score_of(outcome) for outcome in exact]) if exact else None
            told = f"{interval.mean:.4f} ± {interval.half_width:.4f}" if interval else "-"
            inside = str(interval.low <= mean <= interval.high) if interval else "-"
            print(
                f"| {variant} | {task_name} | {kit:.1f} | {exact_s:.1f} | {batched_s:.2f} | {kit / batched_s:.1f} "
                f"| {told} | {mean:.4f} | {inside} |",
                flush=True,
            )
            measured.append(
                {
                    "grid": variant,
                    "task": task_name,
                    "kit_cpu_s": float(kit),
                    "exact_cpu_s": exact_s if exact else None,
                    "batched_cpu_s": batched_s,
                    "ratio": float(kit) / batched_s,
                    "exact_scores": [score_of(outcome) for outcome in exact],
                    "batched_scores": [score_of(outcome) for outcome in batched],
                }
            )
    save("probes", {"machine": describe_machine(), "precision": precision, "seeds": seeds, "rows": measured})
    return 0


def compare_exactly(tasks: Positional[Path], upstream: tuple[str, ...] = ("mc960", "kfold2000")) -> int:
    """Compare every score, best epoch and number of epochs with the kit's; the status is 1 if any differs.

    Args:
        tasks: folder of embeddings directories: mc960, ml960, kfold2000.
        upstream: tasks of the upstream grid to repeat.
    """
    _reference_tasks(tasks)
    torch.set_num_threads(1)
    wrong = 0
    for row in read_summary():
        variant, name, seed = row["variant"], row["task"], int(row["seed"])
        if not (tasks / name).is_dir() or (variant == "upstream_grid" and name not in upstream):
            continue
        (outcome,), cpu_s = run(read_embeddings(tasks / name), [seed], find_protocol(VARIANTS[variant]), exact=True)
        content = json.loads(
            (RESULTS / variant / name / f"seed{seed}" / "test.predicted-scores.json").read_text(encoding="utf-8")
        )
        pairs = [
            (split.values[key], value)
            for split in outcome.splits
            for key, value in content[split.name].items()
            if key not in UNPROMISED
        ]
        differing = sum(a != b for a, b in pairs)
        epochs = list(outcome.epochs_run) == [int(n) for n in row["epochs"].split()]
        wrong += differing + (not epochs)
        print(
            f"{variant} {name} seed {seed}: {len(pairs) - differing} of {len(pairs)} values equal, "
            f"epochs run {'equal' if epochs else 'DIFFER'}, {cpu_s:.1f} CPU s (kit {row['cpu_s']})",
            flush=True,
        )
    return 1 if wrong else 0


def make_task(folder: Path, clips: int, size: int, classes: int = 20, labels_a_clip: int = 1) -> EmbeddedTask:
    """Make a synthetic task: `clips` for training, a quarter each to select and test; several labels: multilabel."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    metadata = {
        "task_name": folder.name,
        "embedding_type": "scene",
        "prediction_type": "multiclass" if labels_a_clip == 1 else "multilabel",
        "split_mode": "trainvaltest",
        "splits": ["train", "valid", "test"],
        "sample_duration": 1.0,
        "evaluation": ["top1_acc" if labels_a_clip == 1 else "mAP"],
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    lines = "".join(f"{k},{k}\n" for k in range(classes))
    (folder / "labelvocabulary.csv").write_text("idx,label\n" + lines, encoding="utf-8")
    centres = rng.normal(size=(classes, size)).astype(np.float32)
    for split, n in (("train", clips), ("valid", clips // 4), ("test", clips // 4)):
        first = np.arange(n)[:, None] % classes
        labels = (first + 7 * np.arange(labels_a_clip)) % classes  # (n, labels_a_clip)
        (folder / f"{split}.embedding-dimensions.json").write_text(json.dumps([n, size]), encoding="utf-8")
        (folder / f"{split}.target-labels.pkl").write_bytes(pickle.dumps([[int(k) for k in row] for row in labels]))
        with (folder / f"{split}.embeddings.npy").open("wb") as file:
            for begin in range(0, n, 1000):  # so that making the task takes no memory to speak of
                rows = labels[begin : begin + 1000]
                noise = rng.standard_normal((len(rows), size), dtype=np.float32)
                file.write((0.2 * centres[rows].sum(axis=1) + noise).tobytes())
    return read_embeddings(folder)


def show_growth() -> int:
    """Print CPU seconds while one quantity grows, with 30 epochs a training so that only the cost changes."""
    torch.set_num_threads(1)
    measured: list[dict[str, Any]] = []
    base = replace(find_protocol("published"), grid={"dropout": (0.1, 0.25), "max_epochs": (30,), "patience": (99,)})
    four = replace(base, grid={**base.grid, "dropout": (0.1, 0.2, 0.3, 0.4)})
    eight = replace(base, grid={**base.grid, "dropout": tuple(0.05 * k for k in range(1, 9))})
    print("| quantity | value | CPU s | CPU ms a training and epoch |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        plain = make_task(Path(root) / "plain", clips=1000, size=960)
        cases = [("seeds", str(n), plain, range(n), base) for n in (1, 2, 5, 10)]
        cases += [("grid points", str(len(p.grid["dropout"])), plain, range(2), p) for p in (base, four, eight)]
        for clips in (250, 1000, 4000, 16000):
            cases.append(
                ("training clips", str(clips), make_task(Path(root) / f"n{clips}", clips, 960), range(2), base)
            )
        for size in (240, 960, 3840):
            cases.append(("embedding size", str(size), make_task(Path(root) / f"d{size}", 1000, size), range(2), base))
        run(plain, range(1), base)  # first calls build the processor's kernels
        for quantity, value, task, seeds, protocol in cases:
            _, cpu_s = run(task, seeds, protocol)
            trainings = len(protocol.grid["dropout"])
            print(
                f"| {quantity} | {value} | {cpu_s * len(seeds):.2f} | {cpu_s / trainings / 30 * 1000:.2f} |", flush=True
            )
            measured.append({"quantity": quantity, "value": int(value), "cpu_s": cpu_s * len(seeds)})
    save("probes_growth", {"machine": describe_machine(), "rows": measured})
    return 0


def show_large(clips: int = 50_000, size: int = 3840, classes: int = 200, epochs: int = 6) -> int:
    """Print time and peak memory of one seed and two grid points of a multilabel task as large as FSD50K.

    Args:
        clips: for training; a quarter of it each to select and to test.
        size: of the embeddings; 3840 is what AxLSTM-Base gives.
        classes: of which each clip has two.
        epochs: of each training.
    """
    torch.set_num_threads(1)
    grid = {"dropout": (0.1, 0.25), "max_epochs": (epochs,), "patience": (99,)}
    with tempfile.TemporaryDirectory() as root:
        task = make_task(Path(root) / "large", clips, size, classes, labels_a_clip=2)
        before = _peak_gb()
        began = time.perf_counter()
        outcomes, cpu_s = run(task, [0], replace(find_protocol("published"), grid=grid))
        wall_s = time.perf_counter() - began
    row = {
        "clips": clips,
        "embedding_size": size,
        "classes": classes,
        "epochs": epochs,
        "embeddings_gb": 4 * size * (clips + 2 * (clips // 4)) / 1e9,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "peak_gb": _peak_gb(),
        "peak_before_gb": before,
        "score": score_of(outcomes[0]),
    }
    print("\n".join(f"{name}: {value:g}" for name, value in row.items()))
    save("probes_large", {"machine": describe_machine(), "rows": [row]})
    return 0


def _peak_gb() -> float:
    """Return the peak memory of this process, memory-mapped embeddings included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
