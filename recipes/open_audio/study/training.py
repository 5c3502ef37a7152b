"""Train the study's runs: each in a process of its own, several side by side, resumed where they stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from axlstm.data.index import read_index, write_index
from axlstm.data.shards import open_shards
from axlstm.errors import ConfigError, DataError, TrainingError
from axlstm.files import write_atomically
from axlstm.options import current_precision
from axlstm.pretrain.loop import pretrain
from recipes.open_audio.study.machine import describe_machine
from recipes.open_audio.study.runs import Budget, Run, training_runs

RECORD = "record.json"
BUDGET = "budget.json"
RUNS = "runs"


def share_of(directory: Path, share: float) -> Path:
    """Make a folder beside the shards with the first ``share`` of the training shards, and all held-out ones.

    Records are in random order over the shards, so the first ones are a sample. Files are linked, not copied.
    """
    if share == 1:
        return directory
    out = directory.with_name(f"{directory.name}-{share:g}")
    index = read_index(directory)
    train = index["splits"]["train"]
    train["shards"] = train["shards"][: max(1, round(share * len(train["shards"])))]
    train["records"] = sum(shard["records"] for shard in train["shards"])
    train["hours"] = sum(shard["seconds"] for shard in train["shards"]) / 3600
    out.mkdir(exist_ok=True)
    for shard in [shard["name"] for split in index["splits"].values() for shard in split["shards"]]:
        if not (out / shard).exists():
            (out / shard).parent.mkdir(parents=True, exist_ok=True)
            os.link(directory / shard, out / shard)
    write_index(out, index)
    return out


def train_one(work: Path, shards: Path, name: str, budget: Budget, threads: int | None) -> dict[str, Any]:
    """Train the run of that name in WORK/runs/NAME, or resume it; returns its summary."""
    run = {run.name: run for run in training_runs(budget)}[name]
    workdir, data = work / RUNS / name, share_of(shards, run.share)
    workdir.mkdir(parents=True, exist_ok=True)
    began = time.time()
    summary = pretrain(run.config(budget, threads), data, workdir, _log_to(workdir / "train.log"))
    _note(workdir / RECORD, run, budget, data, time.time() - began)
    return summary


def _note(path: Path, run: Run, budget: Budget, data: Path, seconds: float) -> None:
    """Record what the run's own files lack: revision, machine, hours of audio, and the time of this sitting."""
    before = json.loads(path.read_text(encoding="utf-8"))["sittings"] if path.is_file() else []
    index = open_shards(data).index
    record = {
        "run": asdict(run),
        "budget": asdict(budget),
        "revision": _revision(),
        "machine": describe_machine(),
        "hours_of_audio": index.get("splits", {}).get("train", {}).get("hours"),
        "sittings": [*before, {"ended": time.strftime("%Y-%m-%d"), "seconds": round(seconds)}],
    }
    write_atomically(path, json.dumps(record, indent=2).encode())


def _revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    return result.stdout.strip() or None


def _log_to(path: Path) -> Callable[[int, Any], None]:
    def log(step: int, values: Any) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{step} " + " ".join(f"{name}={value:.5g}" for name, value in values.items()) + "\n")

    return log


def train_all(
    work: Path, shards: Path, budget: Budget, jobs: int, only: tuple[str, ...], report: Callable[[str], None]
) -> None:
    """Train every run that has not finished, ``jobs`` at a time, each with its share of the cores.

    Raises:
        ConfigError: a run that does not exist.
        DataError: no shards, or a work folder that holds runs of another budget.
        TrainingError: runs that failed; the others are finished first.
    """
    runs = training_runs(budget)
    unknown = set(only) - {run.name for run in runs}
    if unknown:
        known = ", ".join(run.name for run in runs)
        raise ConfigError(f"no run is called {', '.join(sorted(unknown))}; the runs are {known}")
    open_shards(shards)
    claim(work, budget)
    waiting = [run for run in runs if (run.name in only or not only) and not _finished(work, run)]
    for run in waiting:
        share_of(shards, run.share)  # once, not by several processes at a time
    threads = max(1, (os.cpu_count() or 1) // jobs)
    running: dict[str, subprocess.Popen[bytes]] = {}
    failed: list[str] = []
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run.name] = _start(work, shards, run, threads)
                report(f"{run.name}: started")
            for name, process in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    report(f"{name}: " + ("finished" if not process.returncode else f"failed, see {name}/error.log"))
                    failed += [name] if process.returncode else []
            time.sleep(0.2)
    finally:
        for process in running.values():
            process.terminate()  # it saves its state and ends
        for process in running.values():
            process.wait()
        signal.signal(signal.SIGTERM, before)
    if failed:
        raise TrainingError(f"{work / RUNS}: failed: {', '.join(failed)}; each has an error.log")


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def claim(work: Path, budget: Budget) -> None:
    """Note the budget of the runs in a work folder.

    Raises:
        DataError: it holds runs of another one.
    """
    path = work / RUNS / BUDGET
    wanted = json.loads(json.dumps(asdict(budget)))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(wanted, indent=2).encode())
        return
    found = _recorded_budget(path)
    differing = [
        f"{name} {found.get(name)!r}, not {wanted[name]!r}" for name in wanted if found.get(name) != wanted[name]
    ]
    if differing:
        raise DataError(f"{path.parent} holds runs with {'; '.join(differing)}: use the same budget or another folder")


def read_budget(work: Path) -> Budget:
    """Read the budget of the runs in a work folder.

    Raises:
        DataError: nothing has been trained there.
    """
    path = work / RUNS / BUDGET
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the train command with this work folder first")
    return Budget(**_recorded_budget(path))


def _recorded_budget(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values | {"precision": current_precision(values["precision"])}


def _finished(work: Path, run: Run) -> bool:
    path = work / RUNS / run.name / "summary.json"
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8"))["finished"])


def _start(work: Path, shards: Path, run: Run, threads: int) -> subprocess.Popen[bytes]:
    workdir = work / RUNS / run.name
    workdir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "recipes.open_audio", "train-one", "--work", str(work), "--shards", str(shards)]
    command += ["--name", run.name, "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with (workdir / "error.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)
