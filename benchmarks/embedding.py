"""Measure windows per second of the released algorithm and of ours, beside the floor; the log-mel spectrogram alone.

python -m benchmarks embedding [--models axlstm-tiny axlstm-base] [--seconds 60] [--rounds 5]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import axlstm
from axlstm.audio.logmel import LogMel
from axlstm.model.config import preset_config
from axlstm.options import EngineName, Precision
from axlstm.pretrain.meter import training_flops_per_crop
from benchmarks.floors import find_rates
from benchmarks.machine import describe_machine
from benchmarks.released import ReleasedEmbedder
from benchmarks.report import save
from benchmarks.timing import ratios, take_turns

RELEASED = "released, eager float32"
WAYS: tuple[tuple[EngineName | None, Precision], ...] = (
    (None, "float32"),
    ("processes", "float32"),
    ("auto", "float32"),
    (None, "bfloat16"),
    ("processes", "bfloat16"),
    ("auto", "bfloat16"),
)


def embedding(
    models: tuple[str, ...] = ("axlstm-tiny", "axlstm-base", "ssast-tiny"), seconds: float = 60.0, rounds: int = 5
) -> int:
    """Time a clip of ``seconds`` through every competitor, and the log-mel alone.

    Args:
        models: names of sizes; the weights are random, which does not change the time.
        seconds: length of the clip.
        rounds: times each competitor runs.
    """
    wave = 0.1 * torch.randn(round(seconds * 16_000), generator=torch.Generator().manual_seed(0))
    rows: list[dict[str, Any]] = []
    rates = {precision: find_rates(torch.device("cpu"), precision) for precision in ("float32", "bfloat16")}
    print(
        f"{'model':12} {'competitor':24} {'windows/s':>10} {'x real time':>12}  ratio to released (lowest .. highest)"
    )
    for name in models:
        released = ReleasedEmbedder(axlstm.create_model(name))
        competitors: dict[str, Callable[[], object]] = {RELEASED: partial(released.embed, wave)}
        for engine, dtype in WAYS:
            embedder = axlstm.create_model(name, engine=engine, dtype=dtype)
            competitors[f"{engine or 'threads'}, {dtype}"] = partial(embedder.embed, wave, 16_000)
        timings = take_turns(competitors, rounds)
        windows = seconds / 2
        operations = windows * training_flops_per_crop(preset_config(name)) / 3
        for competitor, timing in timings.items():
            low, middle, high = ratios(timings, competitor, RELEASED)
            share = operations / rates["bfloat16" if "bf" in competitor else "float32"].operations / timing.median
            rows.append(
                {
                    "model": name,
                    "competitor": competitor,
                    "windows_per_s": windows / timing.median,
                    "ratio": [low, middle, high],
                    "operations_per_window": operations / windows,
                    "share_of_matrix_rate": share,
                    "seconds": timing.seconds,
                }
            )
            print(
                f"{name:12} {competitor:24} {windows / timing.median:10.1f} {seconds / timing.median:12.0f}"
                f"  {middle:.2f} ({low:.2f} .. {high:.2f})  {share:.0%} of the matrix rate"
            )
    frontend = LogMel()
    threads = torch.get_num_threads()
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        timing = take_turns({"log-mel": lambda: frontend(wave)}, rounds)["log-mel"]
        rows.append({"front_end_threads": count, "x_real_time": seconds / timing.median, "seconds": timing.seconds})
        print(f"{'log-mel':12} {f'{count} thread(s)':22} {'':10} {seconds / timing.median:12.0f}")
    torch.set_num_threads(threads)
    described = {precision: rate.to_dict() for precision, rate in rates.items()}
    save("embedding", {"machine": describe_machine(), "clip_seconds": seconds, "rates": described, "rows": rows}, True)
    return 0
