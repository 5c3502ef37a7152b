"""Compare a collection with perch-hoplite's database: insertion, search, labels, bytes, and what a kill loses.

python -m benchmarks hoplite --peer PYTHON [--windows 100000] [--kills 10] [--folder FOLDER]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np

from benchmarks.hoplite_plan import FILE_WINDOWS, Plan, file_name, heard
from benchmarks.machine import describe_machine
from benchmarks.made_windows import make_frames, pool_windows
from benchmarks.ready_windows import write_sounds
from benchmarks.report import save

_ROOT = Path(__file__).parents[1]
_VERSIONS = ("perch-hoplite", "usearch", "numpy")
_LABELS = 1000


@dataclass(frozen=True)
class _Store:
    """A way to keep windows: the process that does a piece of work with it, and its options of insertion."""

    name: str
    process: tuple[str, ...]
    inserting: tuple[str, ...] = ()

    def command(self, work: str, folder: Path, plan: Plan, *options: str) -> list[str]:
        inserting = self.inserting if work == "insert" else ()
        return [*self.process, work, str(folder), str(plan.folder), *inserting, *options]


def hoplite(
    peer: Path,
    windows: int = 100_000,
    kills: int = 10,
    queries: int = 50,
    rounds: int = 3,
    minutes: float = 20.0,
    seed: int = 0,
    folder: Path | None = None,
) -> int:
    """Bring the same windows into both, in processes of their own; search, label, and kill each of them.

    Args:
        peer: a Python with perch-hoplite 1.
        windows: 100 for each file of 250 s.
        kills: of each piece of work, at random moments of its time.
        queries: for each way to search.
        rounds: times that each piece of work is done without a kill. perch-hoplite's takes minutes and is timed once.
        minutes: of mixtures that the windows are made of.
        seed: of the moments.
        folder: keeps vectors and files for the next run.
    """
    ours = _Store("axlstm", (sys.executable, "-m", "benchmarks.hoplite_ours"))
    process = (str(peer), "-m", "benchmarks.hoplite_theirs")
    theirs = _Store("hoplite", process)
    often = _Store("hoplite, commit every 1,000 windows", process, ("--every", "10"))
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        plan = _prepare(place, windows, minutes)
        result: dict[str, Any] = {"machine": describe_machine(), "versions": _versions(peer), "windows": windows}
        result["size"] = plan.vectors.shape[1]
        result["work"] = {}
        result["kills"] = {}
        for store in (ours, theirs, often):
            full = place / "store"
            shutil.rmtree(full, ignore_errors=True)
            times = _time(store, full, plan, queries, rounds, rounds if store is ours else 1)
            result["work"][store.name] = times
            print(store.name, times, flush=True)
            result["kills"][store.name] = _kill_all(store, full, plan, times, queries, kills, seed)
            save("hoplite", result)
    return 0


def _prepare(place: Path, windows: int, minutes: float) -> Plan:
    """Make vectors, files and their table of sites, if they were not made before."""
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "sites.csv").is_file():
        frames = make_frames(place / "frames.npy", minutes)
        np.save(place / "vectors.npy", pool_windows(frames, windows, seed=0))
        names = [file_name(file, windows // FILE_WINDOWS) for file in range(windows // FILE_WINDOWS)]
        write_sounds(place / "sounds", names)
        sites = sorted({name.partition("/")[0] for name in names})
        rows = "".join(f"{site},{site}\n" for site in sites)
        (place / "sites.csv").write_text(f"path,site\n{rows}", encoding="utf-8")
    return Plan(place)


def _versions(peer: Path) -> dict[str, str]:
    code = f"from importlib.metadata import version; print(*map(version, {_VERSIONS}))"
    told = subprocess.run([str(peer), "-c", code], check=True, capture_output=True, text=True).stdout.split()
    return dict(zip(_VERSIONS, told, strict=True))


def _time(store: _Store, full: Path, plan: Plan, queries: int, rounds: int, insertions: int) -> dict[str, Any]:
    """Do all work without a kill, and leave the full store."""
    inserted = []
    for _ in range(insertions):
        shutil.rmtree(full, ignore_errors=True)
        inserted.append(_value(_run(store.command("insert", full, plan)), "seconds"))
    result: dict[str, Any] = {"insert_s": inserted}
    opened = [_run(store.command("open", full, plan)) for _ in range(rounds)]
    result["open_s"] = [_value(said, "open_s") for said in opened]
    result["first_search_s"] = [_value(said, "first_search_s") for said in opened]
    searched = _run(store.command("search", full, plan, "--count", str(queries)))
    result["search"] = {
        said["way"]: {
            "median_s": median(said["times_s"]),
            "slowest_s": max(said["times_s"]),
            "recall": said["recall"],
        }
        for said in searched
        if "way" in said
    }
    result["searches_s"] = _value(searched, "seconds")
    result["bytes"] = sum(path.stat().st_size for path in full.rglob("*") if path.is_file())
    for name, options in (("label_s", ()), ("label_at_once_s", ("--at-once",))):
        result[name] = []
        for _ in range(rounds):
            copy = _copy(full)
            said = _run(store.command("label", copy, plan, "--count", str(_LABELS), *options))
            result[name].append(_value(said, "seconds"))
    shutil.rmtree(_copy_of(full), ignore_errors=True)
    return result


def _kill_all(
    store: _Store, full: Path, plan: Plan, times: dict[str, Any], queries: int, kills: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Kill each piece of work at random moments of the time that it takes, and see what is left each time."""
    random = Random(seed)
    durations = {
        "insert": median(times["insert_s"]),
        "open": median(times["open_s"]) + median(times["first_search_s"]),
        "search": times["searches_s"],
        "label": median(times["label_s"]),
    }
    options = {"label": ("--count", str(_LABELS)), "search": ("--count", str(queries))}
    trials: dict[str, list[dict[str, Any]]] = {work: [] for work in durations}
    for work, duration in durations.items():
        for _ in range(kills):
            copy = _copy(full) if work == "label" else full
            if work == "insert":
                copy = _copy_of(full)
                shutil.rmtree(copy, ignore_errors=True)
            moment = random.random() * duration
            trials[work].append(_kill(store, work, copy, plan, moment, options.get(work, ())))
        print(store.name, work, _sum_up(trials[work]), flush=True)
    shutil.rmtree(_copy_of(full), ignore_errors=True)
    return trials


def _sum_up(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what the kills of one piece of work did."""
    names = ("acknowledged_windows", "lost_windows", "acknowledged_labels", "lost_labels", "rows_without_vector")
    sums = {name: sum(trial.get(name, 0) for trial in trials) for name in names}
    return sums | {
        "killed": sum(trial["killed"] for trial in trials),
        "does_not_open": sum(not trial["opens"] for trial in trials),
        "loses_something": sum(trial["lost_windows"] + trial["lost_labels"] > 0 for trial in trials),
        "windows_afterwards": [trial["windows"] for trial in trials],
    }


def _kill(
    store: _Store, work: str, folder: Path, plan: Plan, moment_s: float, options: Sequence[str]
) -> dict[str, Any]:
    """Kill a piece of work, and count what had been acknowledged before and is not there afterwards."""
    said, was_killed = _run_until(store.command(work, folder, plan, *options), moment_s)
    kept = max((one["kept"] for one in said if "kept" in one), default=0)
    windows = kept if work == "insert" else len(plan.vectors)
    labels = [window.file * FILE_WINDOWS + window.place for window in plan.labelled(_LABELS)]
    labels = labels[: kept if work == "label" else 0]
    trial: dict[str, Any] = {"at_s": moment_s, "killed": was_killed, "acknowledged_windows": windows}
    trial["acknowledged_labels"] = len(labels)
    checked = subprocess.run(
        store.command("check", folder, plan), cwd=_ROOT, env=_environment(), capture_output=True, text=True
    )
    told = next((one for one in heard(checked.stdout) if "whole" in one), None)
    trial["opens"] = told is not None
    if told is None:
        last = checked.stderr.strip().splitlines()[-1:] or [f"signal {-checked.returncode}"]
        return trial | {"error": last[0], "lost_windows": windows, "lost_labels": len(labels), "windows": 0}
    trial["windows"] = sum(told["whole"])
    trial["lost_windows"] = windows - sum(told["whole"][: windows // FILE_WINDOWS])
    trial["lost_labels"] = len(set(labels) - set(told["labels"]))
    trial["rows_without_vector"] = told["rows"] - told["vectors"]
    if "damage" in told:
        trial["damage"] = told["damage"]
        if work == "insert":
            _run(store.command("insert", folder, plan))
            again = next(one for one in _run(store.command("check", folder, plan)) if "whole" in one)
            trial["windows_after_the_same_call"] = sum(again["whole"])
    return trial


def _copy_of(full: Path) -> Path:
    return full.with_name("copy")


def _copy(full: Path) -> Path:
    """Copy a store, over an earlier copy."""
    copy = _copy_of(full)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(full, copy)
    return copy


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "src")])}


def _run(command: list[str]) -> list[dict[str, Any]]:
    """Run a process to its end, and return what it said."""
    done = subprocess.run(command, cwd=_ROOT, env=_environment(), stdout=subprocess.PIPE, text=True, check=True)
    return list(heard(done.stdout))


def _run_until(command: list[str], moment_s: float) -> tuple[list[dict[str, Any]], bool]:
    """Kill a process at a moment after it has begun; return what it said, and whether it was not done before."""
    with subprocess.Popen(
        command, cwd=_ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        while '"begin"' not in (line := process.stdout.readline()):
            if not line:
                raise RuntimeError(f"{command} did not begin")
        try:
            process.wait(moment_s)
        except subprocess.TimeoutExpired:
            process.kill()
        return list(heard(process.stdout.read())), process.wait() != 0


def _value(said: list[dict[str, Any]], name: str) -> float:
    return float(next(one[name] for one in said if name in one))
