"""Repeat the short benchmarks, and compare their ratios with the committed ones of the same family of processors.

python -m benchmarks check [--fail] [--save] [--rounds 5]

A ratio is the released algorithm's time through ours, in one run; of the start, the time of importing torch through
that of embedding a file. Ratios are alike on all processors of a family, where times are not.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import axlstm
from axlstm.options import Precision
from axlstm.store.batch import embed_files
from benchmarks.folder import scene
from benchmarks.gpu_model import stepping, training_config
from benchmarks.gpu_setting import Setting
from benchmarks.machine import describe_machine, processor_family
from benchmarks.recordings import write_folder
from benchmarks.released import ReleasedEmbedder
from benchmarks.report import family_path, save
from benchmarks.start import Started, embed_once, import_torch
from benchmarks.timing import ratios, take_turns

TOLERANCE = 0.1
RELEASED = "released"
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def check(
    models: tuple[str, ...] = ("axlstm-tiny", "axlstm-base"),
    rounds: int = 5,
    files: int = 100,
    batch: int = 16,
    fail: bool = False,
    keep: bool = False,
) -> int:
    """Compare with the committed ratios; what is more than 10 % worse is printed.

    Args:
        models: names of sizes; weights are random, which does not change the time.
        rounds: times each competitor runs.
        files: two-second files of the folder.
        batch: crops of a training step.
        fail: end with status 1 if anything is worse.
        keep: write what was measured in place of the committed ratios.
    """
    measured: dict[str, list[float]] = {}

    def note(name: str, found: tuple[float, float, float]) -> None:
        measured[name] = list(found)
        print(f"{name:44} {found[1]:6.2f} ({found[0]:.2f} .. {found[2]:.2f})", flush=True)

    for model in models:
        for seconds in (2.0, 60.0) if model == "axlstm-tiny" else (20.0,):
            for precision, found in _embedding(model, seconds, rounds).items():
                note(f"embed {seconds:g} s, {model}, {precision}", found)
    for precision, found in _folder(files, max(2, rounds // 2)).items():
        note(f"{files} files of 2 s, axlstm-tiny, {precision}", found)
    for precision, found in _training(batch, max(2, rounds // 2)).items():
        note(f"training step of {batch}, axlstm-tiny, {precision}", found)
    for name, found in _start(rounds).items():
        note(name, found)
    known = _committed()
    if keep:
        save("check", {"machine": describe_machine(), "ratios": measured}, by_family=True)
        return 0
    worse = compare(measured, known)
    for line in worse:
        print(line)
    if not known:
        print(f"no committed ratios of {processor_family()}: --keep writes these")
    return 1 if fail and worse else 0


def compare(measured: dict[str, list[float]], known: dict[str, list[float]]) -> list[str]:
    """Describe the ratios whose median is more than 10 % below the committed one."""
    told = []
    for name, (_, middle, highest) in measured.items():
        if name in known and middle < (1 - TOLERANCE) * known[name][1]:
            before = known[name][1]
            told.append(
                f"worse: {name}: {middle:.2f} (up to {highest:.2f}), committed {before:.2f}: "
                f"{1 - middle / before:.0%} slower beside its baseline"
            )
    return told


def _committed() -> dict[str, list[float]]:
    path = family_path("check")
    found: dict[str, list[float]] = json.loads(path.read_bytes())["ratios"] if path.exists() else {}
    return found


Ratios = dict[Precision, tuple[float, float, float]]


def _embedding(model: str, seconds: float, rounds: int) -> Ratios:
    wave = 0.1 * torch.randn(round(seconds * 16_000), generator=torch.Generator().manual_seed(0))
    runs: dict[str, Callable[[], object]] = {
        RELEASED: partial(ReleasedEmbedder(axlstm.create_model(model)).embed, wave)
    }
    for precision in _PRECISIONS:
        runs[precision] = partial(axlstm.create_model(model, engine="auto", dtype=precision).embed, wave, 16_000)
    return _against(take_turns(runs, rounds), RELEASED)


def _folder(files: int, rounds: int) -> Ratios:
    released = ReleasedEmbedder(axlstm.create_model("axlstm-tiny"))
    with tempfile.TemporaryDirectory() as folder:
        paths = write_folder(Path(folder, "sounds"), files, 2.0)

        def embed(precision: Precision) -> Callable[[], None]:
            embedder, out = (
                axlstm.create_model("axlstm-tiny", engine="auto", dtype=precision),
                Path(folder, "e.parquet"),
            )

            def run() -> None:
                embed_files(embedder, paths, out)
                out.unlink()

            return run

        runs: dict[str, Callable[[], object]] = {RELEASED: lambda: [scene(released, path) for path in paths]}
        return _against(take_turns(runs | {each: embed(each) for each in _PRECISIONS}, rounds), RELEASED)


def _training(batch: int, rounds: int) -> Ratios:
    setting = Setting(torch.device("cpu"), small=False, rounds=rounds, tasks=None)
    exact, fast = (training_config("tiny", setting, precision, batch) for precision in _PRECISIONS)
    runs: dict[str, Callable[[], object]] = {
        RELEASED: stepping(exact, setting, released=True),
        "float32": stepping(exact, setting, released=False),
        "bfloat16": stepping(fast, setting, released=False),
    }
    return _against(take_turns(runs, rounds), RELEASED)


def _against(timings: dict[str, Any], baseline: str) -> Ratios:
    return {precision: ratios(timings, precision, baseline) for precision in _PRECISIONS}


def _start(rounds: int) -> dict[str, tuple[float, float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        embed_once(Path(folder))  # compiles
        pairs: list[tuple[Started, Started]] = [(import_torch(), embed_once(Path(folder))) for _ in range(rounds)]
    times = sorted(torch_alone.wall_s / ours.wall_s for torch_alone, ours in pairs)
    memory = sorted(torch_alone.peak_mib / ours.peak_mib for torch_alone, ours in pairs)
    return {
        "start, time of importing torch through ours": (times[0], statistics.median(times), times[-1]),
        "start, memory of importing torch through ours": (memory[0], statistics.median(memory), memory[-1]),
    }
