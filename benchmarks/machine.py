"""Describe the machine a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

import axlstm


def processor_family() -> str:
    """Name the processor's maker and its widest unit, such as ``intel-amx`` or ``amd-avx512_bf16``.

    Ratios of one way of computing to another are alike within a family.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    maker = {"GenuineIntel": "intel", "AuthenticAMD": "amd"}.get(told.get("vendor_id", ""), platform.machine())
    flags = told.get("flags", "").split()
    units = {"amx": "amx_bf16", "avx512_bf16": "avx512_bf16", "avx512": "avx512f", "avx2": "avx2"}
    return f"{maker}-{next((unit for unit, flag in units.items() if flag in flags), 'other')}"


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, accelerator and versions."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text(encoding="utf-8").splitlines()
            if "model name" in line
        ]
        cpu = names[0] if names else cpu
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16_matrix_unit": bool(torch.cpu._is_amx_tile_supported()),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "axlstm": axlstm.__version__,
    }
