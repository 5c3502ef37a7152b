"""Make the table for a GPU: axlstm beside the released algorithm and the floor, with peak memory.

    python -m benchmarks gpu [--rows cell long step embed train probes] [--tasks DIR]
    python -m benchmarks gpu --device cpu --small     # everything once at small size, kernels in Triton's interpreter

Each row adds to ``benchmarks/results/gpu.json`` (small: ``gpu_small.json``) as it ends, so rows can be made by separate
commands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from axlstm.errors import ConfigError
from benchmarks.gpu_cell import cell_rows, long_rows
from benchmarks.gpu_model import embed_rows, probe_rows, step_rows, train_rows
from benchmarks.gpu_setting import Setting
from benchmarks.machine import describe_machine
from benchmarks.report import RESULTS, save

Row = Literal["cell", "long", "step", "embed", "train", "probes"]
ROWS: dict[Row, Callable[[Setting], Iterable[dict[str, Any]]]] = {
    "cell": cell_rows,
    "long": long_rows,
    "step": step_rows,
    "embed": embed_rows,
    "train": train_rows,
    "probes": probe_rows,
}


def gpu(
    rows: tuple[Row, ...] = tuple(ROWS),
    device: str = "cuda",
    small: bool = False,
    tasks: Path | None = None,
    rounds: int = 5,
) -> int:
    """Measure rows of the table.

    Args:
        rows: which; all take longer than some machines are lent for.
        device: where; ``cpu`` only shows that everything runs.
        small: sizes for a trial without a GPU.
        tasks: folder of embeddings directories for the row ``probes``, which is left out without it.
        rounds: times each competitor runs.
    """
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("torch finds no CUDA device; for a trial: --device cpu --small")
    if chosen.type == "cpu" and find_spec("triton") is not None:
        os.environ["TRITON_INTERPRET"] = "1"  # before the kernels are imported
    torch.set_float32_matmul_precision("high")
    setting = Setting(chosen, small, 1 if small else rounds, tasks)
    for row in rows:
        found = []
        for measured in ROWS[row](setting):
            print(_line(measured), flush=True)
            found.append(measured)
        _add(row, found, "gpu_small" if small else "gpu")
    return 0


def _line(row: dict[str, Any]) -> str:
    parts = [f"{row['row']:6} {row['work']:44} {row['competitor']:24}"]
    if "note" in row:
        return f"{parts[0]} {row['note']}"
    if "median_ms" in row:
        parts.append(f"{row['median_ms']:10.3f} ms")
    if row.get("ratio"):
        parts.append("{1:6.2f}x released ({0:.2f} .. {2:.2f})".format(*row["ratio"]))
    if row.get("of_floor"):
        parts.append(f"{row['of_floor']:6.2f}x floor")
    if row.get("peak_mib") is not None:
        parts.append(f"{row['peak_mib']:8.0f} MiB")
    parts += [f"{name} {row[name]:.4g}" for name in ("clips_per_s", "mfu", "data_wait_share") if row.get(name)]
    if "bar" in row:
        parts.append(f"bar {row['bar']}: {'met' if row['met'] else 'MISSED'}")
    return "  ".join(parts)


def _add(row: str, found: list[dict[str, Any]], name: str) -> None:
    """Replace a row's earlier results, and note the machine of the new ones."""
    path = RESULTS / f"{name}.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    result[row] = {"machine": describe_machine(), "rows": found}
    save(name, result)
