"""Embed a folder with one encoder in a process of its own: ``python -m benchmarks.neighbour_process NAME FOLDER``.

Writes one line of JSON: what it took, or why the encoder is not here.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import axlstm

_WEIGHTS = "AXLSTM_ENCODERS"  # the folder of the recipe's encoders
_RUNTIMES = {  # that the recipe's encoders compute in besides torch
    "birdnet": ("ai-edge-litert",),
    "openwakeword": ("onnx", "onnxruntime"),
}


@dataclass(frozen=True)
class Heard:
    """What an encoder took.

    Args:
        ready_at: when the first file was embedded, in seconds since the epoch.
        wall_s, cpu_s: for all files after that, by the clock and of processors.
        peak_mib: resident memory at its highest.
        install_mib: of what it needs, as it lies on the disk; see `install_mib`.
    """

    ready_at: float
    wall_s: float
    cpu_s: float
    peak_mib: float
    install_mib: float


def main(name: str, folder: Path) -> dict[str, Any]:
    """Load an encoder and give it one file after another, decoded by libsndfile."""
    import soundfile

    from benchmarks.invariance_listeners import NotInstalled
    from benchmarks.neighbours import all_neighbours

    neighbour = next(neighbour for neighbour in all_neighbours() if neighbour.name == name)
    paths = sorted(folder.iterdir())
    try:
        listener = neighbour.load()
    except NotInstalled as error:
        return {"not installed": str(error)}

    def embed(path: Path) -> None:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        listener.embed([samples], rate_hz)

    embed(paths[0])
    ready_at, begin, cpu = time.time(), time.perf_counter(), time.process_time()
    for path in paths:
        embed(path)
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    weights = Path(os.environ[_WEIGHTS], name) if _WEIGHTS in os.environ else None
    size_mib = install_mib(neighbour.entry.package, weights, _RUNTIMES.get(name, ()))
    return asdict(Heard(ready_at, wall_s, cpu_s, peak_mib, size_mib))


def install_mib(package: str, weights: Path | None, runtimes: Sequence[str] = ()) -> float:
    """Add up what lies on the disk of a distribution, of torch, of runtimes, of all that they need, and of weights."""
    found: set[str] = set()
    waiting = [Requirement(package), Requirement("torch"), *map(Requirement, runtimes)]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name in found:
            continue
        try:
            needs = map(Requirement, importlib.metadata.requires(name) or ())
        except importlib.metadata.PackageNotFoundError:  # of another system, or replaced by a stand-in
            continue
        found.add(name)
        waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    beside = weights.rglob("*") if weights is not None and weights.is_dir() else ()
    size = sum(file.stat().st_size for file in beside if file.is_file()) + sum(map(distribution_size, found))
    return size / 2**20


def distribution_size(name: str) -> int:
    """Add up the files of an installed distribution, in bytes."""
    files = [Path(str(file.locate())) for file in importlib.metadata.files(name) or ()]
    if name == "axlstm":  # which may be edited in place
        files = [*Path(axlstm.__file__).parent.rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]))) + "\n")
