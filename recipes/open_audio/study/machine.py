"""Describe the machine a run was trained on, for its record."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

import axlstm


def describe_machine() -> dict[str, Any]:
    """Name processor, cores, threads, accelerator, system and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16_matrix_unit": bool(torch.cpu._is_amx_tile_supported()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "axlstm": axlstm.__version__,
    }
