"""Compare a collection with perch-hoplite's database: insertion, search, labels, bytes, and what a kill loses.

python -m benchmarks hoplite --peer PYTHON [--windows 100000] [--kills 10] [--folder FOLDER]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np

from axlstm.files import write_atomically
from benchmarks.hoplite_kills import LABELS, Store, copy_of, kill, run, value
from benchmarks.hoplite_plan import FILE_WINDOWS, Plan, file_name
from benchmarks.machine import describe_machine
from benchmarks.made_windows import make_frames, pool_windows
from benchmarks.ready_windows import write_sounds
from benchmarks.report import save

_VERSIONS = ("perch-hoplite", "usearch", "numpy")


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
        folder: keeps what is made and measured; an interrupted run goes on there.
    """
    process = (str(peer), "-m", "benchmarks.hoplite_theirs")
    ours = Store("axlstm", (sys.executable, "-m", "benchmarks.hoplite_ours"))
    theirs = Store("hoplite", process)
    often = Store("hoplite-often", process, ("--every", "10"))  # a commit for each 1,000 windows
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        plan = _prepare(place, windows, minutes)
        result: dict[str, Any] = {"machine": describe_machine(), "versions": _versions(peer), "windows": windows}
        result |= {"size": plan.vectors.shape[1], "work": {}, "kills": {}}
        for store in (ours, theirs, often):
            full = place / f"{store.name}.store"
            insertions = rounds if store is ours else 1
            times = _time(store, full, plan, queries, rounds, insertions)
            result["work"][store.name] = times
            print(store.name, times, flush=True)
            result["kills"][store.name] = {}
            for work, duration in _durations(times).items():
                random = Random(seed)
                moments = [random.random() * duration for _ in range(kills)]
                trials = []
                for number, moment in enumerate(moments):
                    one = partial(kill, store, work, full, plan, moment, queries)
                    trials.append(_keep(plan, f"{store.name}-kill-{work}-{number}", one))
                shutil.rmtree(copy_of(full), ignore_errors=True)
                result["kills"][store.name][work] = trials
                print(store.name, work, _sum_up(trials), flush=True)
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


def _keep(plan: Plan, name: str, measure: Callable[[], Any]) -> Any:
    """Return what an earlier run measured, or measure it, and keep it for the next run."""
    file = plan.folder / "measured" / f"{name}.json"
    if not file.is_file():
        measured = measure()
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, json.dumps(measured).encode())
    return json.loads(file.read_bytes())


def _time(store: Store, full: Path, plan: Plan, queries: int, rounds: int, insertions: int) -> dict[str, Any]:
    """Do all work without a kill, and leave the full store."""

    def insert() -> float:
        shutil.rmtree(full, ignore_errors=True)
        return value(run(store.command("insert", full, plan)), "seconds")

    def label(*options: str) -> float:
        copy = copy_of(full)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(full, copy)
        return value(run(store.command("label", copy, plan, "--count", str(LABELS), *options)), "seconds")

    result = {"insert_s": _keep(plan, f"{store.name}-insert", lambda: [insert() for _ in range(insertions)])}
    opened = _keep(plan, f"{store.name}-open", lambda: [run(store.command("open", full, plan)) for _ in range(rounds)])
    result["open_s"] = [value(said, "open_s") for said in opened]
    result["first_search_s"] = [value(said, "first_search_s") for said in opened]
    searching = store.command("search", full, plan, "--count", str(queries))
    searched = _keep(plan, f"{store.name}-search", lambda: run(searching))
    result["search"] = {said["way"]: _sum_up_way(said) for said in searched if "way" in said}
    result["searches_s"] = value(searched, "seconds")
    result["bytes"] = sum(path.stat().st_size for path in full.rglob("*") if path.is_file())
    result["label_s"] = _keep(plan, f"{store.name}-label", lambda: [label() for _ in range(rounds)])
    at_once = _keep(plan, f"{store.name}-label-at-once", lambda: [label("--at-once") for _ in range(rounds)])
    return result | {"label_at_once_s": at_once}


def _sum_up_way(said: dict[str, Any]) -> dict[str, float]:
    return {"median_s": median(said["times_s"]), "slowest_s": max(said["times_s"]), "recall": said["recall"]}


def _durations(times: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each piece of work that is killed."""
    return {
        "insert": median(times["insert_s"]),
        "open": median(times["open_s"]) + median(times["first_search_s"]),
        "search": times["searches_s"],
        "label": median(times["label_s"]),
    }


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
