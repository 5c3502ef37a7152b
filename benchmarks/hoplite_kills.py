"""Run a piece of work of a store in a process of its own, kill it, and see what is left."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.hoplite_plan import FILE_WINDOWS, Plan, heard

LABELS = 1000
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Store:
    """A way to keep windows: the process that does a piece of work with it, and its options of insertion."""

    name: str
    process: tuple[str, ...]
    inserting: tuple[str, ...] = ()

    def command(self, work: str, folder: Path, plan: Plan, *options: str) -> list[str]:
        """Return the command line of a piece of work."""
        inserting = self.inserting if work == "insert" else ()
        return [*self.process, work, str(folder), str(plan.folder), *inserting, *options]


def kill(store: Store, work: str, full: Path, plan: Plan, moment_s: float, queries: int) -> dict[str, Any]:
    """Kill a piece of work, and count what had been acknowledged before and is not there afterwards.

    Args:
        full: the store with all windows; what is inserted or labelled goes to another folder.
        moment_s: after the beginning.
    """
    folder = full if work in ("open", "search") else copy_of(full)
    if folder != full:
        shutil.rmtree(folder, ignore_errors=True)
    if work == "label":
        shutil.copytree(full, folder)
    options = {"label": ("--count", str(LABELS)), "search": ("--count", str(queries))}.get(work, ())
    said, was_killed = _run_until(store.command(work, folder, plan, *options), moment_s)
    kept = max((one["kept"] for one in said if "kept" in one), default=0)
    windows = kept if work == "insert" else len(plan.vectors)
    labels = [window.file * FILE_WINDOWS + window.place for window in plan.labelled(LABELS)]
    labels = labels[: kept if work == "label" else 0]
    trial: dict[str, Any] = {"at_s": moment_s, "killed": was_killed, "acknowledged_windows": windows}
    trial["acknowledged_labels"] = len(labels)
    command = store.command("check", folder, plan)
    checked = subprocess.run(command, cwd=_ROOT, env=_environment(), capture_output=True, text=True)
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
            run(store.command("insert", folder, plan))
            again = next(one for one in run(command) if "whole" in one)
            trial["windows_after_the_same_call"] = sum(again["whole"])
    return trial


def copy_of(full: Path) -> Path:
    """Return where a store is that work changes."""
    return full.with_name("copy")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "src")])}


def run(command: list[str]) -> list[dict[str, Any]]:
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


def value(said: list[dict[str, Any]], name: str) -> float:
    """Return what a process said under a name."""
    return float(next(one[name] for one in said if name in one))
