"""Time a pretraining step on this machine's CPU: the released algorithm, ours in float32 and bfloat16, and the floor.

python -m benchmarks training [--models axlstm-tiny] [--batch 64] [--rounds 5]
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from axlstm.pretrain.meter import training_flops_per_crop
from benchmarks.floors import find_rates
from benchmarks.gpu_model import stepping, training_config
from benchmarks.gpu_setting import RELEASED, Setting
from benchmarks.machine import describe_machine
from benchmarks.report import save
from benchmarks.step_processes import StepProcesses
from benchmarks.timing import ratios, take_turns

BARS = {"processes, float32": 3.0, "processes, bfloat16": 4.0}


def training(models: tuple[str, ...] = ("axlstm-tiny",), batch: int = 64, rounds: int = 5) -> int:
    """Time a whole step (forward, backward, clipping, AdamW) on crops in memory.

    Threads is one process with as many threads as torch takes; processes is what ``torchrun --nproc-per-node``
    starts, one for each core, which sum their gradients.

    The floor is the step's matrix products (three times the forward's, all pairs of tokens counted) at the rate
    that a product of two 2048 x 2048 matrices reaches here.

    Args:
        models: names of AxLSTM sizes.
        batch: crops a step.
        rounds: times each competitor runs.
    """
    setting = Setting(torch.device("cpu"), small=False, rounds=rounds, tasks=None)
    rates = {precision: find_rates(setting.device, precision) for precision in ("float32", "bfloat16")}
    rows: list[dict[str, Any]] = []
    for name in models:
        size = name.removeprefix("axlstm-")
        single, half = (training_config(size, setting, precision, batch) for precision in ("float32", "bfloat16"))
        runs: dict[str, Callable[[], object]] = {
            RELEASED: stepping(single, setting, released=True),
            "threads, float32": stepping(single, setting, released=False),
            "threads, bfloat16": stepping(half, setting, released=False),
        }
        count = os.cpu_count() or 1
        pools = {f"processes, {p}": StepProcesses(c, count) for p, c in (("float32", single), ("bfloat16", half))}
        timings = take_turns({**runs, **pools}, rounds)
        for pool in pools.values():
            pool.close()
        operations = batch * training_flops_per_crop(single.model)
        for competitor, timing in timings.items():
            floor = operations / rates["bfloat16" if "bfloat16" in competitor else "float32"].operations
            low, middle, high = ratios(timings, competitor, RELEASED)
            row = {
                "model": name,
                "competitor": competitor,
                "crops_per_s": batch / timing.median,
                "ratio": [low, middle, high],
                "bar": BARS.get(competitor),
                "operations_per_crop": operations / batch,
                "share_of_matrix_rate": floor / timing.median,
                "seconds": timing.seconds,
            }
            rows.append(row)
            print(
                f"{name:12} {competitor:18} {row['crops_per_s']:7.2f} crops/s  {middle:.2f}x ({low:.2f} .. {high:.2f})"
                f"  {row['share_of_matrix_rate']:.0%} of the matrix rate"
            )
    described = {precision: rate.to_dict() for precision, rate in rates.items()}
    save("training", {"machine": describe_machine(), "batch": batch, "rates": described, "rows": rows}, True)
    return 0
