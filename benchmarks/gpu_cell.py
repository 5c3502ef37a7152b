"""Make rows of the table: the mLSTM by itself, at the length of a window and at long ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from axlstm.devices import DTYPES
from axlstm.mlstm import choose, mlstm
from axlstm.mlstm.triton import why_not
from axlstm.model.config import preset_config
from axlstm.options import Precision
from benchmarks.floors import cell_work
from benchmarks.gpu_setting import RELEASED, Setting

HEADS = 4
CELL_BAR, FLOOR_BAR = 3.0, 2.0


def cell_rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """Time S = 251, heads of tiny, small and base, batch 256: forward, and forward with backward."""
    sizes, batch, steps = (("tiny",), 1, 35) if setting.small else (("tiny", "small", "base"), 256, 251)
    precisions: tuple[Precision, ...] = ("float32",) if setting.small else ("bfloat16", "float16")
    for size in sizes:
        for precision in precisions:
            for gradients in (False, True):
                yield from _compare(setting, "cell", size, batch, steps, precision, gradients)


def long_rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """Time S = 2 048 and 8 192 with equal steps in the batch: memory should stay, and time be near its floor.

    The released algorithm gets the same work as far as its matrices fit.
    """
    shapes = ((1, 70), (1, 140)) if setting.small else ((32, 2048), (8, 8192))
    precision: Precision = "float32" if setting.small else "bfloat16"
    for size in ("tiny",) if setting.small else ("tiny", "small", "base"):
        peaks: dict[tuple[bool, int], float] = {}
        for batch, steps in shapes:
            for gradients in (False, True):
                for row in _compare(setting, "long", size, batch, steps, precision, gradients):
                    if row["competitor"] != RELEASED and row.get("peak_mib"):
                        peaks[gradients, steps] = row["peak_mib"]
                    if "of_floor" in row and row["competitor"] != RELEASED and not setting.small:
                        row |= {"bar": f"<= {FLOOR_BAR:g}x floor", "met": row["of_floor"] <= FLOOR_BAR}
                    yield row
        for gradients in (False, True):
            values = [peak for (with_gradients, _), peak in sorted(peaks.items()) if with_gradients == gradients]
            if len(values) == len(shapes):
                growth = values[1] / values[0]
                about = {"row": "long", "work": f"{size}, memory of as many steps", "competitor": "ours"}
                note = f"{'with' if gradients else 'without'} gradients, 8192 against 2048: {growth:.2f}x"
                yield {**about, "growth": growth, "note": note}


def _compare(
    setting: Setting, row: str, size: str, batch: int, steps: int, precision: Precision, gradients: bool
) -> Iterator[dict[str, Any]]:
    width = preset_config(f"axlstm-{size}").inner_width // HEADS
    dtype = DTYPES[precision]
    tensors = _inputs(setting.device, dtype, batch, steps, width, gradients)
    choice = choose(device=setting.device, steps=steps, dtype=dtype, head_width=width)
    ours = choice.name
    if setting.small and why_not(setting.device, dtype, width) is None:
        ours = "triton"
    runs: dict[str, Callable[[], object]] = {
        RELEASED: partial(_run, tensors, "parallel", gradients),
        f"ours, {ours}": partial(_run, tensors, ours, gradients),
    }
    direction = "forward + backward" if gradients else "forward"
    about = {
        "row": row,
        "work": f"{size}, B {batch}, S {steps}, {precision}, {direction}",
        "reason": choice.reason,
        "square_mib": batch * HEADS * steps * steps * dtype.itemsize / 2**20,  # of one S x S tensor
    }
    work = cell_work(batch, HEADS, steps, width, dtype.itemsize, gradients)
    repeats = 1 if setting.small else 5
    yield from setting.compare(about, runs, work, precision, CELL_BAR if row == "cell" else None, repeats)


def _inputs(
    device: torch.device, dtype: torch.dtype, batch: int, steps: int, width: int, gradients: bool
) -> list[Tensor]:
    """Make q, k, v as the encoders hand them over (heads are views), and gates as at the start of training."""
    rng = torch.Generator(device).manual_seed(0)
    heads = [
        torch.randn(batch, steps, HEADS, width, generator=rng, device=device).to(dtype).transpose(1, 2)
        for _ in range(3)
    ]
    gates = [torch.randn(batch, HEADS, steps, generator=rng, device=device) + shift for shift in (0.0, 4.0)]
    return [tensor.requires_grad_(gradients) for tensor in (*heads, *gates)]


def _run(tensors: list[Tensor], backend: str, gradients: bool) -> None:
    h = mlstm(*tensors, backend=backend)
    if gradients:
        torch.autograd.grad(h, tensors, grad_outputs=torch.ones_like(h))
