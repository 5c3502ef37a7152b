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
from pathlib import Path
from typing import Any

from axlstm.embed.windows import Windows
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_long
from benchmarks.report import save

MEMORY_BAR, TIME_BAR = 1.3, 1.15
TEN_MINUTES_S = 600.0


def windows(hours: float = 2.0, window_s: float = 5.0, hop_s: float = 2.5, model: str = "axlstm-tiny") -> int:
    """Embed files of 10 min and ``hours`` in each way, each time in a process of its own.

    Processor time is less sensitive to what else runs than the clock is.

    Args:
        hours: of the longer file.
        window_s: length of the windows.
        hop_s: from one to the next.
        model: name of a size; the weights are random, which does not change the time.
    """
    ways = ("frames", "windows")
    longest = 3600 * hours
    measured: dict[tuple[str, float], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        paths = {
            seconds: write_long(Path(temporary, f"{seconds:g}.flac"), seconds) for seconds in (TEN_MINUTES_S, longest)
        }
        print(f"{'':>8} {'length':>10} {'peak MiB':>9} {'CPU ms':>8} {'wall ms':>8}   for each second of sound")
        for way, seconds in (
            ("alone", TEN_MINUTES_S),
            *((way, length) for length in (TEN_MINUTES_S, longest) for way in ways),
        ):
            options = [way, str(paths[seconds]), temporary, model, str(window_s), str(hop_s)]
            command = [sys.executable, "-m", "benchmarks.windows", *options]
            run = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            measured[way, seconds] = run
            cpu_ms, wall_ms = 1000 * run["cpu_s"] / seconds, 1000 * run["wall_s"] / seconds
            print(f"{way:>8} {seconds:8g} s {run['peak_mib']:9.0f} {cpu_ms:8.2f} {wall_ms:8.2f}", flush=True)

    def ratio(key: str, one: tuple[str, float], other: tuple[str, float]) -> float:
        return float(measured[one][key] / measured[other][key])

    long_one, short_one = ("windows", longest), ("windows", TEN_MINUTES_S)
    ratios = {
        "memory": ratio("peak_mib", long_one, short_one),
        "cpu_time": ratio("cpu_s", long_one, ("frames", longest)),
        "wall_time": ratio("wall_s", long_one, ("frames", longest)),
        "alone_cpu_time": ratio("cpu_s", ("alone", TEN_MINUTES_S), short_one),
        "alone_wall_time": ratio("wall_s", ("alone", TEN_MINUTES_S), short_one),
    }
    print(f"peak memory, {hours:g} h to 10 min: {ratios['memory']:.3f}; bar <= {MEMORY_BAR}")
    print(
        f"time of windows to that of frames, {hours:g} h: {ratios['cpu_time']:.3f} (CPU), {ratios['wall_time']:.3f} "
        f"(wall); bar <= {TIME_BAR}"
    )
    print(
        f"time of each window by itself to that of windows, 10 min: {ratios['alone_cpu_time']:.3f} (CPU), "
        f"{ratios['alone_wall_time']:.3f} (wall)"
    )
    rows = [{"way": way, "seconds": seconds, **run} for (way, seconds), run in measured.items()]
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
