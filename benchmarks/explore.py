"""Time the page's server: its first view, the bytes of its map, its memory, and spectrograms of a long recording.

python -m benchmarks explore [--windows 200000] [--hours 12]
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile

from axlstm.collection.collection import create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.maps.draw import draw_map
from axlstm.explore.pictures import View, draw_spectrogram
from axlstm.samples import sample_paths
from benchmarks.machine import describe_machine
from benchmarks.made_windows import make_frames, mixture
from benchmarks.report import save
from benchmarks.search import fill

_RATE_HZ = 16_000
_BAT_HZ = 384_000
_BAT_HOURS = 0.1
_SPANS_S = (1.0, 10.0, 60.0, 250.0, 600.0, 3600.0)
_PLACES = 20  # stretches of each length


def explore(
    windows: int = 200_000, hours: float = 12.0, minutes: float = 20.0, starts: int = 5, folder: Path | None = None
) -> int:
    """Start the server several times, ask for what the first view needs, and draw stretches of a long recording.

    Args:
        windows: of the large collection; the small one has the bundled recordings.
        hours: length of the recording, which is made of mixtures of the bundled ones.
        minutes: of mixtures that windows are made of.
        starts: of each server.
        folder: keeps collections and recordings for the next run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        servers = {
            "bundled": _measure_server(_small(place), starts),
            str(windows): _measure_server(make_large(place, windows, minutes), starts),
        }
        pictures = {kind: _measure_pictures(_long(place, hours, kind), hours) for kind in ("wav", "flac")}
        for kind in ("wav", "flac"):  # a bat recorder's rate
            file = _long(place, _BAT_HOURS, kind, "bats", _BAT_HZ)
            pictures[f"bats.{kind}"] = _measure_pictures(file, _BAT_HOURS)
    save("explore", {"machine": describe_machine(), "hours": hours, "servers": servers, "pictures": pictures})
    return 0


def _small(place: Path) -> Path:
    target = place / "bundled.collection"
    if not target.is_dir():
        with create(target, sample_paths()[0].parent) as made:
            made.index(sample_paths(), window_s=1)
            draw_map(made, made.searcher().table)
    return target


def make_large(place: Path, windows: int, minutes: float) -> Path:
    """Return a collection of so many windows with its map, in a folder; it is made unless it is there."""
    target = place / f"{windows}.collection"
    if not target.is_dir():
        fill(target, make_frames(place / "frames.npy", minutes), windows)
    with open_collection(target) as made:
        if not any((target / "cache").glob("map-*")):
            began = time.perf_counter()
            draw_map(made, made.searcher().table)
            print(f"map of {windows} windows: {time.perf_counter() - began:.0f} s", flush=True)
    return target


def _measure_server(collection: Path, starts: int) -> dict[str, Any]:
    runs = [_run_server(collection) for _ in range(starts)]
    found = {name: median(run[name] for run in runs) for name in runs[0]}
    print(json.dumps({"collection": collection.name, **found}), flush=True)
    return found


def _run_server(collection: Path) -> dict[str, float]:
    """Start a server, and ask for what the page asks for until it shows the map; then for a search.

    Memory is what belongs to the process alone: parts that are mapped are the system's, which may let go of them.
    """
    command = [sys.executable, "-m", "axlstm", "explore", str(collection), "--port", "0"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            home, token = read_link(process)
            link_s = time.perf_counter() - began
            page = _ask(home, token, "/")
            for name in re.findall(r'(?:href|src)="(/page/[^"]+)"', page.decode()):
                _ask(home, token, name)
            _ask(home, token, "/api/about")
            content = _ask(home, token, "/api/map")
            view_s, view_cpu_s = time.perf_counter() - began, processor_seconds(process.pid)
            viewed = memory_of(process.pid)
            searching = time.perf_counter()
            _ask(home, token, "/api/search", {"rows": [0], "count": 50})
            first_search_s = time.perf_counter() - searching
            searching = time.perf_counter()
            _ask(home, token, "/api/search", {"rows": [100], "count": 50})
            search_s = time.perf_counter() - searching
            searched = memory_of(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
    return {
        "link_s": link_s,
        "first_view_s": view_s,
        "first_view_cpu_s": view_cpu_s,
        "map_bytes": len(content),
        "map_gzip_bytes": len(gzip.compress(content, 6)),
        "first_search_s": first_search_s,
        "search_s": search_s,
        **{f"{name}_viewed": value for name, value in viewed.items()},
        **{f"{name}_searched": value for name, value in searched.items()},
    }


def read_link(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return the address and the token that a server prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if (found := re.search(r"(http://[^/]+)/\?token=(\S+)", line)) is not None:
            return found[1], found[2]
    raise RuntimeError("the server has not started")


def _ask(home: str, token: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(home + path, content, headers), timeout=600) as answer:
        found: bytes = answer.read()
        return found


def processor_seconds(process: int) -> float:
    """Return the seconds of processor time that a process has used: what a machine without other work would take."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(process: int) -> dict[str, float]:
    """Return the megabytes of a process: its own, and with the files that are mapped."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return {"own_mb": kilobytes["RssAnon"] / 1024, "all_mb": kilobytes["VmRSS"] / 1024}


def _long(place: Path, hours: float, kind: str, name: str = "long", rate_hz: int = _RATE_HZ) -> Path:
    """Make a recording of so many hours: samples of mixtures, again and again, over noise that differs."""
    target = place / f"{name}.{kind}"
    if not target.is_file():
        recordings = [soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1) for path in sample_paths()]
        rng = np.random.default_rng(0)
        minutes = [mixture(recordings, seed, 60) for seed in range(5)]
        part = place / f"part.{kind}"
        with soundfile.SoundFile(part, "w", rate_hz, 1, "PCM_16") as file:
            for number in range(round(60 * hours * rate_hz / _RATE_HZ)):
                noise = rng.normal(0, 1e-3, 60 * _RATE_HZ).astype(np.float32)
                file.write(np.clip(minutes[number % len(minutes)] * 0.5 + noise, -1, 1))
        part.replace(target)
    return target


def _measure_pictures(path: Path, hours: float) -> dict[str, Any]:
    """Draw stretches, each one when the system has nothing of the file in memory, and then once more."""
    rng, found = np.random.default_rng(0), {}
    total_s = 3600 * hours
    for span_s in (*(span for span in _SPANS_S if span < total_s), total_s):
        seconds: dict[str, list[float]] = {"from_disk": [], "again": []}
        for _ in range(_PLACES if span_s < total_s else 5):
            start_s = float(rng.uniform(0, total_s - span_s))
            view = View(start_s, start_s + span_s, width=1200, height=300)
            _forget(path)
            for times in seconds.values():
                began = time.perf_counter()
                share = draw_spectrogram(path, view).share
                times.append(time.perf_counter() - began)
        told = {name: {"median_s": median(times), "most_s": max(times)} for name, times in seconds.items()}
        found[f"{span_s:g}"] = {**told, "share": share}
        print(json.dumps({"file": path.name, "stretch_s": span_s, **found[f"{span_s:g}"]}), flush=True)
    return {"bytes": path.stat().st_size, "stretches": found}


def _forget(path: Path) -> None:
    """Have the system forget what it holds of a file in memory, where it can be asked to."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
