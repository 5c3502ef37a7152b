"""Let the largest size take training steps in several processes, and compare its memory with what paper says.

python -m benchmarks largest [--size huge] [--ranks 2]
"""

from __future__ import annotations

import os
import socket
import time
from itertools import repeat
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor

from axlstm.data.reader import LogMelBatch
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import pretrain_preset
from axlstm.pretrain.stepper import Stepper
from axlstm.training.config import HardwareConfig, OptimiserConfig
from axlstm.training.world import joined_world
from benchmarks.machine import describe_machine
from benchmarks.report import save
from benchmarks.scale import peak_mib, renew_peak

_BYTES = {"weights": 4, "gradients": 4, "optimiser": 8, "sums": 4}
"""Bytes for each parameter in float32: two moments of AdamW; and DDP's buckets, which gradients are summed in."""


def largest(size: str = "huge", ranks: int = 2, steps: int = 2) -> int:
    """Take steps with one crop for each process, joined by gloo and DDP, a thread each; nothing is read or saved.

    Args:
        size: of axlstm.
        ranks: processes. Each needs 20 bytes for a parameter, 6.4 GB for the largest size, and room to compute.
        steps: that each takes.
    """
    with torch.device("meta"):
        count = sum(p.numel() for p in MaskedPatchModel(pretrain_preset(f"axlstm-{size}").model).parameters())
    paper = {name: count * each for name, each in _BYTES.items()}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with get_context("spawn").Pool(ranks) as pool:
        rows = pool.starmap(_step, [(size, rank, ranks, steps, port) for rank in range(ranks)], chunksize=1)
    result: dict[str, Any] = {"machine": describe_machine(), "size": size, "parameters": count, "ranks": ranks}
    result |= {"paper_bytes": paper, "processes": rows}
    for row in rows:
        told = ", ".join(f"{name} {row['bytes'][name] / 1e9:.2f} GB ({paper[name] / 1e9:.2f})" for name in row["bytes"])
        print(f"rank {row['rank']}: loss {row['losses']}, {told}; {row['growth_mib'] / 1024:.2f} GiB grown at the peak")
    print(f"on paper {sum(paper.values()) / 1e9:.2f} GB for {count / 1e6:.1f} M parameters, without what is computed")
    save("largest", result)
    return 0


def _step(size: str, rank: int, ranks: int, steps: int, port: int) -> dict[str, Any]:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(ranks)}
    torch.set_num_threads(1)
    config = pretrain_preset(f"axlstm-{size}")
    optimiser = OptimiserConfig(global_batch=ranks, micro_batch=1)
    config = type(config)(
        model=config.model, optimiser=optimiser, hardware=HardwareConfig(device="cpu", precision="float32", threads=1)
    )
    renew_peak()
    before, began = peak_mib(), time.perf_counter()
    with joined_world("cpu") as world:
        stepper = Stepper(MaskedPatchModel.initialised(config.model, seed=0), config, world)
        windows = torch.randn(1, config.model.window_frames, config.model.mel_bands)
        batch = LogMelBatch(windows, torch.arange(1) + rank, [])
        losses = [round(stepper.step(repeat(batch), 1e-4, False).loss, 4) for _ in range(steps)]
        parameters = [p for group in stepper.optimiser.param_groups for p in group["params"]]
        moments = [value for state in stepper.optimiser.state.values() for value in state.values()]
        found = {
            "weights": _bytes(parameters),
            "gradients": _bytes([p.grad for p in parameters if p.grad is not None]),
            "optimiser": _bytes([value for value in moments if isinstance(value, Tensor) and value.ndim]),
        }
        row = {"rank": rank, "losses": losses, "bytes": found, "growth_mib": peak_mib() - before}
        del stepper, parameters, moments
    return row | {"seconds": time.perf_counter() - began}


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
