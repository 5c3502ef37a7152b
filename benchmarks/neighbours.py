"""Time encoders that people use on one folder: speed, start, memory and size on the disk, in one run.

python -m benchmarks neighbours [--files 30] [--seconds 10] [--rounds 3]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import axlstm
from axlstm.errors import ConfigError
from axlstm.options import Precision
from benchmarks.invariance_listeners import Entry, Listener, Ours
from benchmarks.invariances import all_entries
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_folder
from benchmarks.report import RESULTS, save
from benchmarks.start import run_apart

COMMAND = "axlstm embed"
_HALF = "axlstm-tiny, bfloat16"
_ALIKE = {"axlstm-tiny, no padding", "axlstm-tiny, published", "Wav2Vec2, masked", "CLAP"}
"""Entries of the table of invariances that compute what another one does."""

_TITLES = (
    "encoder",
    "weights",
    "hours of sound in a core-hour",
    "times faster than the sound",
    "first embedding after",
    "memory",
    "on the disk",
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Neighbour:
    """An encoder of the table, with the precision that it is asked for."""

    entry: Entry
    precision: Precision = "float32"

    @property
    def name(self) -> str:
        """Return what heads its row."""
        return self.entry.name

    def load(self) -> Listener:
        """Make it; see `Entry`."""
        return self.entry.load(self.precision)


def all_neighbours() -> list[Neighbour]:
    """Return the encoders of the table, with all of their blocks."""
    found = [Neighbour(entry) for entry in all_entries(blocks=12) if entry.name not in _ALIKE]
    half = Entry(_HALF, "shipped", "pip install axlstm", _shipped)
    return [found[0], Neighbour(half, "bfloat16"), *found[1:]]


def _shipped(precision: Precision) -> Listener:
    return Ours(axlstm.load_model("axlstm-tiny", dtype=precision))


def neighbours(files: int = 30, seconds: float = 10.0, rounds: int = 3, only: tuple[str, ...] = ()) -> int:
    """Give each encoder the folder, one file after another, in a process of its own; rounds take turns.

    The command line is a row too: it takes the files as it likes, and writes its output.

    Args:
        files, seconds: of the folder, which holds the bundled recordings one after another.
        rounds: how often.
        only: names of rows; all if empty. Nothing is kept then.

    Raises:
        ConfigError: a name that is not known, or less than two files.
    """
    names = [COMMAND, *(neighbour.name for neighbour in all_neighbours())]
    if unknown := set(only) - set(names):
        raise ConfigError(f"only={', '.join(sorted(unknown))}: expected names of {', '.join(names)}")
    if files < 2:
        raise ConfigError(f"files={files}: expected at least 2, since the first one is what the start is measured with")
    installs = {neighbour.name: neighbour.entry.install for neighbour in all_neighbours()}
    runs: dict[str, list[Row]] = {name: [] for name in names if not only or name in only}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        paths = write_folder(Path(temporary, "sounds"), files, seconds)
        if COMMAND in runs:
            _command(paths, Path(temporary, "first"))  # keeps the compiled graph
        for number in range(rounds):
            for name in runs:
                if name in missing:
                    continue
                run = (
                    _command(paths, Path(temporary) / str(number))
                    if name == COMMAND
                    else _process(name, paths[0].parent)
                )
                if "not installed" in run:
                    missing[name] = installs[name]
                    print(f"{name}: {run['not installed']}; {installs[name]}", flush=True)
                else:
                    runs[name].append(run)
    rows = {name: _median(of_name) | {"runs": of_name} for name, of_name in runs.items() if of_name}
    result = {"machine": describe_machine(), "files": files, "file_seconds": seconds, "rows": rows, "missing": missing}
    print(show(result))
    if not only:
        save("neighbours", result)
    return 0


def _process(name: str, folder: Path) -> Row:
    began = time.time()
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.neighbour_process", name, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRANSFORMERS_VERBOSITY": "error"},
    )
    if process.returncode:
        raise RuntimeError(f"{name}: {process.stderr.strip()[-500:]}")
    run: Row = json.loads(process.stdout.splitlines()[-1])
    return run if "not installed" in run else {"ready_s": run.pop("ready_at") - began, **run}


def _command(paths: Sequence[Path], folder: Path) -> Row:
    """Run `axlstm embed` on one file and on all of them; all but the first are what the difference is of."""
    folder.mkdir()
    one, everything = (
        run_apart(["-m", "axlstm", "embed", str(source), "-o", str(folder / f"{source.name}.parquet")], {})
        for source in (paths[0], paths[0].parent)
    )
    share = len(paths) / (len(paths) - 1)
    return {
        "ready_s": one.wall_s,
        "wall_s": (everything.wall_s - one.wall_s) * share,
        "cpu_s": (everything.cpu_s - one.cpu_s) * share,
        "peak_mib": everything.peak_mib,
        "install_mib": None,
    }


def _median(runs: Sequence[Row]) -> Row:
    return {name: None if runs[0][name] is None else round(median(run[name] for run in runs), 3) for name in runs[0]}


def show(result: Row) -> str:
    """Make the table of Markdown."""
    hours = result["files"] * result["file_seconds"] / 3600
    weights = {neighbour.name: neighbour.entry.weights for neighbour in all_neighbours()} | {COMMAND: "shipped"}
    lines = ["|".join(["", *(f" {title} " for title in _TITLES), ""]), "|---" * len(_TITLES) + "|"]
    for name, row in result["rows"].items():
        disk = "-" if row["install_mib"] is None else f"{row['install_mib']:.0f} MiB"
        lines.append(
            f"| {name} | {weights[name]} | {hours * 3600 / row['cpu_s']:.0f} | {hours * 3600 / row['wall_s']:.0f} | "
            f"{row['ready_s']:.1f} s | {row['peak_mib']:.0f} MiB | {disk} |"
        )
    return "\n".join(lines)


def make_neighbour_table() -> str:
    """Make the table of docs/comparison.md from the committed results."""
    result: Row = json.loads((RESULTS / "neighbours.json").read_bytes())
    return show(result) + "\n"
