"""Time the start: `axlstm embed` of one short file in a fresh process, and the first line of `axlstm stream`.

python -m benchmarks start [--rounds 5]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.audio.read import load_audio
from axlstm.embed.live import HOP_MS
from axlstm.engines.kept import FOLDER_VARIABLE
from axlstm.samples import sample_path
from benchmarks.machine import describe_machine
from benchmarks.report import save

TIME_BAR_S, MEMORY_BAR_MIB, STREAM_BAR_S = 0.7, 250.0, 0.5
_RATE_HZ = 16_000
_BLOCK_S = 0.05  # of the sound that is piped in, at the pace of a microphone


@dataclass(frozen=True)
class Started:
    """What a process took: seconds by the clock and of processors, and its peak memory."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def start(rounds: int = 5) -> int:
    """Embed one recording of 2 s in fresh processes: first with nothing kept, then as any later time.

    Args:
        rounds: how often, in turns.
    """
    ways = {"importing torch": None, "float32": [], "bfloat16": ["--dtype", "bfloat16"], "torch": ["--engine", "None"]}
    measured: dict[str, list[Started]] = {name: [] for name in ("first, float32", *ways)}
    with tempfile.TemporaryDirectory() as folder:
        measured["first, float32"].append(embed_once(Path(folder)))
        embed_once(Path(folder), "--dtype", "bfloat16")
        for _ in range(rounds):
            for name, options in ways.items():
                measured[name].append(import_torch() if options is None else embed_once(Path(folder), *options))
        streamed = [first_line(Path(folder)) for _ in range(max(1, rounds // 2))]
    for name, runs in measured.items():
        wall, cpu, memory = (statistics.median(getattr(run, key) for run in runs) for key in asdict(runs[0]))
        print(f"{name:16} {wall:6.2f} s ({cpu:.2f} s of processors) {memory:6.0f} MiB")
    print(f"bars for float32: {TIME_BAR_S} s, {MEMORY_BAR_MIB:g} MiB")
    late_s = statistics.median(streamed)
    print(f"stream: first line {late_s:.2f} s after the sound of its window was there; bar {STREAM_BAR_S} s")
    rows: dict[str, Any] = {name: [asdict(run) for run in runs] for name, runs in measured.items()}
    save("start", {"machine": describe_machine(), "rows": rows, "stream_late_s": streamed}, by_family=True)
    return 0


def embed_once(folder: Path, *options: str) -> Started:
    """Embed a recording with the command line; compiled graphs are kept in ``folder``."""
    out = folder / "out.parquet"
    out.unlink(missing_ok=True)
    command = ["-m", "axlstm", "embed", str(sample_path("speech_it_queue")), "-o", str(out), *options]
    return run_apart(command, {FOLDER_VARIABLE: str(folder / "graphs")})


def import_torch() -> Started:
    """Import torch and do nothing, which is the floor of a command that needs it."""
    return run_apart(["-c", "import torch"], {})


_MEASURE = """
import os, sys, time
begin = time.perf_counter()
child = os.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
print(status, time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def run_apart(command: list[str], environment: dict[str, str]) -> Started:
    """Run Python with these arguments in a fresh process that is measured."""
    # A process counts the memory of the one that it was forked from: here of a small one.
    measured = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MEASURE, sys.executable, *command],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    status, *figures = measured.stdout.splitlines()[-1].split()
    assert status == "0", (command, measured.stderr)
    return Started(*map(float, figures))


def first_line(folder: Path) -> float:
    """Pipe sound to `axlstm stream` at its own pace; return how many seconds after its window the first line came."""
    sound = np.resize(load_audio(sample_path("water_lock")), 8 * _RATE_HZ)
    pcm = (sound * 32767).astype("<i2")
    command = [sys.executable, "-m", "axlstm", "stream", "--raw", "s16le", "--rate", str(_RATE_HZ), "--each", "window"]
    environment = {**os.environ, FOLDER_VARIABLE: str(folder / "graphs")}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    begin, came = time.perf_counter(), None
    block = round(_BLOCK_S * _RATE_HZ)
    for number in range(len(pcm) // block):
        time.sleep(max(0.0, begin + (number + 1) * _BLOCK_S - time.perf_counter()))
        process.stdin.write(pcm[number * block : (number + 1) * block].tobytes())
        process.stdin.flush()
        if process.stdout.read(1):
            came = time.perf_counter() - begin
            break
    process.kill()
    process.wait()
    window_s = 2.0 + 0.0125  # with half an STFT window behind it
    assert came is not None, f"no line within {len(pcm) / _RATE_HZ:g} s (hop {HOP_MS:g} ms)"
    return came - window_s
