"""Choose the engine that ``engine="auto"`` stands for, by a small table, with the reason. This loads no torch."""

from __future__ import annotations

import logging
import platform
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from axlstm.engines.runtimes import is_fork_of_openvino
from axlstm.options import EngineName, Padding, Precision

logger = logging.getLogger(__name__)

MEASURED = ("x86_64", "AMD64")
"""Machines on which OpenVINO was measured to be faster than torch."""

FORKED = "this process was forked, which OpenVINO does not survive"

_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


class Choice(NamedTuple):
    """The engine that computes, None for torch, and the reason."""

    engine: EngineName | None
    reason: str

    def __str__(self) -> str:
        return f"{self.engine or 'torch'}: {self.reason}"


def choose_engine(device: str, precision: Precision, padding: Padding) -> Choice:
    """Choose what computes fastest of what is installed.

    Measured ratios are in docs/performance.md. OpenVINO is the fastest at every length, for every family and size, so
    that the amount of work decides nothing. Processes are never chosen: they would run the script of a caller again.

    Args:
        device: kind of device: cpu, cuda, ...
    """
    if device != "cpu":
        return Choice(None, f"device={device}")
    if precision == "float16":
        return Choice(None, "only torch computes in float16")
    if padding == "none":
        return Choice(None, "padding='none': torch computes windows as short as their sound, OpenVINO whole ones")
    if platform.machine() not in MEASURED:
        return Choice(None, f"OpenVINO was not measured on {platform.machine()}; engine='openvino' asks for it")
    if find_spec("openvino") is None:
        return Choice(None, 'openvino is not installed; pip install "axlstm[openvino]" makes this about twice as fast')
    if is_fork_of_openvino():
        return Choice(None, FORKED)
    return Choice("openvino", f"the fastest for {precision} on this processor (docs/performance.md)")


def warn_of_emulation(precision: Precision) -> None:
    """Say that bfloat16 is slow on a processor that has no instructions for it."""
    if precision == "bfloat16" and not has_bfloat16():
        logger.warning(
            "dtype='bfloat16': this processor has no instructions for it and imitates them, so that it is slower than "
            "float32; use dtype='float32'"
        )


def has_bfloat16() -> bool:
    """Tell whether the processor computes in bfloat16; where that cannot be known, assume so."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), None)
    return flags is None or any(flag in flags for flag in _BFLOAT16_FLAGS)


def log_choice(name: str, choice: Choice, checked: str = "") -> None:
    """Write the one line that says what computes, and why."""
    logger.info("%s computes in %s%s", name, choice, f"; {checked}" if checked else "")
