"""Measure what parts cost, by processes and by Ray, against one file; and what the driver needs for many recordings.

python -m benchmarks scale [--files 5000] [--ways one-file processes ray]
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from axlstm.parts.accounts import read_events
from axlstm.parts.collect import collect
from axlstm.parts.drive import drive
from axlstm.parts.entries import Entry
from axlstm.parts.folders import LocalFolder
from axlstm.parts.plan import Limits, Plan, make_plan
from axlstm.parts.run import Tally, Work
from axlstm.parts.runners import in_turn
from axlstm.parts.status import read_status
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_folder
from benchmarks.report import save

Way = Literal["one-file", "one-file-processes", "processes", "ray"]
_OPTIONS: dict[Way, tuple[str, ...]] = {
    "one-file": (),
    "one-file-processes": ("--engine", "processes"),
    "processes": (),
    "ray": ("--runner", "ray"),
}


def scale(
    files: int = 5000,
    seconds: float = 2.0,
    rounds: int = 1,
    ways: tuple[Way, ...] = tuple(_OPTIONS),
    workers: int = 2,
    planned: tuple[int, ...] = (10_000, 100_000, 1_000_000),
) -> int:
    """Embed a folder by the command line in each way, start of the command included; then plan, drive and collect.

    Args:
        files: how many.
        seconds: length of each.
        rounds: times that the ways take turns.
        ways: to one file by threads, or by processes, or in parts by processes, or by Ray; none for the driver alone.
        workers: threads, processes or actors.
        planned: recordings of simulated listings for the driver.
    """
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "files": files,
        "file_seconds": seconds,
        "workers": workers,
    }
    result["ways"] = _time_ways(files, seconds, rounds, ways, workers)
    result["driver"] = [_in_own_process(count) for count in planned]
    save("scale", result)
    return 0


def _time_ways(files: int, seconds: float, rounds: int, ways: Sequence[Way], workers: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        if ways:
            write_folder(Path(temporary, "sounds"), files, seconds)
        for turn in range(rounds):
            for way in ways:
                out = Path(temporary, f"{way}-{turn}" + (".parquet" if way.startswith("one-file") else ""))
                code = f"import sys, torch; torch.set_num_threads({workers}); from axlstm.cli import main; "
                command = [sys.executable, "-c", f"{code}sys.exit(main(sys.argv[1:]))"]
                command += ["embed", str(Path(temporary, "sounds")), "-o", str(out), *_OPTIONS[way]]
                command += [] if out.suffix else ["--workers", str(workers)]
                begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(command, check=True, capture_output=True)
                wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                events = [] if out.suffix else list(read_events(LocalFolder(out)))
                of_parts = sum(event.get("cpu_s", 0.0) for event in events)
                rows.append({"way": way, "wall_s": wall, "cpu_s": cpu, "cpu_s_of_parts": of_parts})
                print(f"{way:20} {wall:8.1f} s, processor {cpu:8.1f} s, of parts {of_parts:8.1f} s", flush=True)
    return rows


class _Nothing(Work):
    """Takes every recording for embedded, and writes a short text."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        path.write_text(entries[0].path, encoding="utf-8")
        return Tally(len(entries), len(entries), 2.0 * len(entries))


def _listing(count: int) -> Iterator[Entry]:
    """Simulate the listing of a store."""
    for number in range(count):
        name = f"s3://bird-network/{number // 10_000:04d}/{number:09d}.flac"
        yield Entry(name, 64_000 + number % 1000, f"{number:032x}")


def _in_own_process(count: int) -> dict[str, Any]:
    """Measure one size in a process of its own, whose peak of memory is its own too."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        row = pool.apply(_measure_driver, (count,))
    print(json.dumps(row), flush=True)
    return row


def _measure_driver(count: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    renew_peak()  # imports are not counted
    row: dict[str, Any] = {"recordings": count, "begin_mib": peak_mib()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = LocalFolder(Path(temporary))
        begin = time.perf_counter()
        plan = make_plan(folder, {}, ["s3://bird-network"], Limits(500, 500.0), _listing(count), {})
        row |= {"parts": plan.parts, "plan_s": time.perf_counter() - begin, "plan_mib": peak_mib()}
        row["plan_bytes"] = sum(path.stat().st_size for path in Path(temporary, "_plan").iterdir())
        begin = time.perf_counter()
        drive(folder, plan, _Nothing, in_turn, lambda _: None)
        row |= {"drive_s": time.perf_counter() - begin, "drive_mib": peak_mib()}
        begin = time.perf_counter()
        summary = collect(folder, plan)
        row |= {"collect_s": time.perf_counter() - begin}
        begin = time.perf_counter()
        status = read_status(folder, plan)
        row |= {"status_s": time.perf_counter() - begin, "peak_mib": peak_mib()}
    if not (summary.embedded == status.embedded == count and status.is_complete):
        raise AssertionError("recordings are missing")
    return row


def renew_peak() -> None:
    """Let the peak of this process's memory begin anew, on Linux."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_mib() -> float:
    """Read the most memory that this process had, on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
