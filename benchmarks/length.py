"""Measure memory, and time for each second of sound, for files from a minute to ten hours.

python -m benchmarks length [--hours 10] [--fast] [--no-frames]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from axlstm.options import EmbedderOptions
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_long
from benchmarks.report import save

MEMORY_BAR, TIME_BAR = 1.3, 1.15


def length(hours: float = 10.0, fast: bool = False, frames: bool = True, model: str = "axlstm-tiny") -> int:
    """Embed files of 1 min, 10 min and ``hours``, each in a process of its own, with what `axlstm embed` calls.

    The minute is measured before and after the others, several times in each process, because the machine's speed
    changes in the time that hours take. Processor time is less sensitive to what else runs than the clock is.

    Args:
        hours: of the longest file.
        fast: compute in bfloat16, in OpenVINO.
        frames: keep an embedding for each 40 ms, which the output of ten hours has gigabytes of.
        model: name of a size; the weights are random, which does not change the time.
    """
    minute, ten, longest = 60.0, 600.0, 3600 * hours
    measured: dict[float, list[dict[str, Any]]] = {minute: [], ten: [], longest: []}
    with tempfile.TemporaryDirectory() as temporary:
        paths = {seconds: write_long(Path(temporary, f"{seconds:g}.flac"), seconds) for seconds in measured}
        print(f"{'length':>10} {'peak MiB':>9} {'CPU ms':>8} {'wall ms':>8}   for each second of sound")
        for seconds, repeats in ((minute, 5), (ten, 1), (longest, 1), (minute, 5)):
            options = [str(paths[seconds]), temporary, model, *map(str, map(int, (fast, frames)))]
            command = [sys.executable, "-m", "benchmarks.length", *options, str(repeats)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            runs = json.loads(done.stdout)
            measured[seconds] += runs
            for run in runs:
                cpu_ms, wall_ms = 1000 * run["cpu_s"] / seconds, 1000 * run["wall_s"] / seconds
                print(f"{seconds:8g} s {run['peak_mib']:9.0f} {cpu_ms:8.2f} {wall_ms:8.2f}", flush=True)

    def per_second(seconds: float, key: str) -> float:
        return median(run[key] for run in measured[seconds]) / seconds

    def peak_mib(seconds: float) -> float:
        return max(run["peak_mib"] for run in measured[seconds])

    ratios = {
        "memory": peak_mib(longest) / peak_mib(ten),
        "cpu_time": per_second(longest, "cpu_s") / per_second(minute, "cpu_s"),
        "wall_time": per_second(longest, "wall_s") / per_second(minute, "wall_s"),
    }
    print(f"peak memory, {hours:g} h to 10 min: {ratios['memory']:.3f}; bar <= {MEMORY_BAR}")
    print(
        f"time for each second of sound, {hours:g} h to 1 min: {ratios['cpu_time']:.3f} (CPU), "
        f"{ratios['wall_time']:.3f} (wall); bar <= {TIME_BAR}"
    )
    rows = [{"seconds": seconds, **run} for seconds, runs in measured.items() for run in runs]
    way = "openvino, bfloat16" if fast else "threads, float32"
    settings = {"model": model, "hours": hours, "way": way, "frames": frames}
    save("length_fast" if fast else "length", {"machine": describe_machine(), **settings, **ratios, "rows": rows}, True)
    return 0


def measure(path: Path, folder: Path, model: str, fast: bool, frames: bool, repeats: int) -> list[dict[str, float]]:
    """Embed ``path`` ``repeats`` times in this process; return the seconds, and the peak memory so far."""
    import axlstm
    from axlstm.store.batch import embed_files

    options: EmbedderOptions = {"engine": "openvino", "dtype": "bfloat16"} if fast else {}
    embedder = axlstm.create_model(model, **options)
    embed_files(embedder, [write_long(folder / "warm.flac", 8)], folder / "warm.parquet", frames=frames)
    (folder / "warm.parquet").unlink()
    runs = []
    for _ in range(repeats):
        begin_wall, begin_cpu = time.perf_counter(), time.process_time()
        embed_files(embedder, [path], folder / "out.parquet", frames=frames)
        wall_s, cpu_s = time.perf_counter() - begin_wall, time.process_time() - begin_cpu
        (folder / "out.parquet").unlink()
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        runs.append({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib})
    return runs


if __name__ == "__main__":
    sound, folder, model, fast, frames, repeats = sys.argv[1:]
    print(json.dumps(measure(Path(sound), Path(folder), model, fast == "1", frames == "1", int(repeats))))
