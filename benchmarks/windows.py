"""Measure what a row for each window costs, beside a row for each frame, and beside each window cut out and embedded.

python -m benchmarks windows [--hours 2] [--window-s 5] [--hop-s 2.5]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from axlstm.embed.windows import Windows
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_long
from benchmarks.report import save

MEMORY_BAR, TIME_BAR = 1.3, 1.15


def windows(
    hours: float = 2.0, window_s: float = 5.0, hop_s: float = 2.5, rounds: int = 3, model: str = "axlstm-tiny"
) -> int:
    """Embed files of 10 min and ``hours`` in each way, each time in a process of its own.

    Processor time is less sensitive to what else runs than the clock is, and medians of rounds less than one run.

    Args:
        hours: of the longer file.
        window_s: length of the windows.
        hop_s: from one to the next.
        rounds: how often ten minutes are embedded in each way, in turns.
        model: name of a size; the weights are random, which does not change the time.
    """
    ten, longest = 600.0, 3600 * hours
    turns = [
        *[(way, ten) for way in ("alone", "frames", "windows")] * rounds,
        ("frames", longest),
        ("windows", longest),
    ]
    measured: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        paths = {seconds: write_long(Path(temporary, f"{seconds:g}.flac"), seconds) for seconds in (ten, longest)}
        print(f"{'':>8} {'length':>10} {'peak MiB':>9} {'CPU ms':>8} {'wall ms':>8}   for each second of sound")
        for way, seconds in turns:
            options = [way, str(paths[seconds]), temporary, model, str(window_s), str(hop_s)]
            command = [sys.executable, "-m", "benchmarks.windows", *options]
            run = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            measured[way, seconds].append(run)
            cpu_ms, wall_ms = 1000 * run["cpu_s"] / seconds, 1000 * run["wall_s"] / seconds
            print(f"{way:>8} {seconds:8g} s {run['peak_mib']:9.0f} {cpu_ms:8.2f} {wall_ms:8.2f}", flush=True)

    def ratio(key: str, seconds: float, way: str, other: str) -> float:
        one, two = (median(run[key] for run in measured[name, seconds]) for name in (way, other))
        return float(one / two)

    def peak_mib(seconds: float) -> float:
        return max(float(run["peak_mib"]) for run in measured["windows", seconds])

    ratios = {"memory": peak_mib(longest) / peak_mib(ten)}
    for key in ("cpu", "wall"):
        ratios[f"{key}_time"] = ratio(f"{key}_s", longest, "windows", "frames")
        ratios[f"{key}_time_ten_minutes"] = ratio(f"{key}_s", ten, "windows", "frames")
        ratios[f"{key}_time_alone"] = ratio(f"{key}_s", ten, "alone", "windows")
    print(f"peak memory of windows, {hours:g} h to 10 min: {ratios['memory']:.3f}; bar <= {MEMORY_BAR}")
    for suffix, of in (
        ("", f"time to that of frames, {hours:g} h"),
        ("_ten_minutes", "time to that of frames, 10 min"),
    ):
        cpu, wall = ratios[f"cpu_time{suffix}"], ratios[f"wall_time{suffix}"]
        print(f"{of}: {cpu:.3f} (CPU), {wall:.3f} (wall); bar <= {TIME_BAR}")
    print(f"each window by itself: {ratios['cpu_time_alone']:.3f} (CPU), {ratios['wall_time_alone']:.3f} (wall) times")
    rows = [{"way": way, "seconds": seconds, **run} for (way, seconds), runs in measured.items() for run in runs]
    settings = {"model": model, "hours": hours, "window_s": window_s, "hop_s": hop_s}
    save("windows", {"machine": describe_machine(), **settings, **ratios, "rows": rows})
    return 0


def measure(way: str, path: Path, folder: Path, model: str, chosen: Windows) -> dict[str, float]:
    """Embed ``path``; return the seconds, the peak memory and the rows."""
    import axlstm
    from axlstm.audio.read import load_audio
    from axlstm.embed.batching import embed_in_groups
    from axlstm.embed.windows import find_spans
    from axlstm.store.batch import embed_files
    from axlstm.store.formats import count_rows

    embedder = axlstm.create_model(model)
    options: dict[str, Any] = {"frames": True} if way == "frames" else {"windows": chosen}

    def embed(sound: Path) -> int:
        if way != "alone":
            out = folder / "out.parquet"
            embed_files(embedder, [sound], out, **options)
            rows = count_rows(out)
            out.unlink()
            return rows
        samples, rate = load_audio(sound), embedder.sample_rate
        spans = find_spans(chosen, embedder.layout, len(samples))  # type: ignore[arg-type]
        cuts = (samples[round(span.start_s * rate) : round(span.end_s * rate)] for span in spans)
        return sum(1 for _ in embed_in_groups(embedder, cuts, rate))

    embed(write_long(folder / "warm.flac", 8))
    begin_wall, begin_cpu = time.perf_counter(), time.process_time()
    rows = embed(path)
    wall_s, cpu_s = time.perf_counter() - begin_wall, time.process_time() - begin_cpu
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib, "rows": rows}


if __name__ == "__main__":
    way, sound, folder, model, window_s, hop_s = sys.argv[1:]
    print(json.dumps(measure(way, Path(sound), Path(folder), model, Windows(float(window_s), float(hop_s)))))
