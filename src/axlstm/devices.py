"""Devices and precisions by name: chosen and checked before anything computes on them."""

from __future__ import annotations

import torch

from axlstm.errors import ConfigError
from axlstm.options import Precision, TrainingPrecision

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
KINDS = ("cpu", "mps", "cuda")  # of what "auto" finds here, the last


def find_device(name: str | torch.device, kinds: tuple[str, ...] = KINDS, option: str = "device") -> torch.device:
    """The device of a name: a kind, a kind with a number (``"cuda:1"``), or ``"auto"``, an accelerator if there is one.

    Args:
        kinds: that will do.
        option: what the name was given as, for the error.

    Raises:
        ConfigError: no such name, or a device that this machine does not have.
    """
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    present = [kind for kind in kinds if here[kind]]
    if name == "auto":
        return torch.device(present[-1])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"{option}={name!r}: expected auto, {', '.join(kinds)} or cuda:N") from error
    if device.type not in kinds:
        raise ConfigError(f"{option}={str(name)!r}: expected auto, {', '.join(kinds)} or cuda:N")
    if device.type not in present:
        raise ConfigError(f"{option}={str(name)!r} is not there: this machine has {', '.join(present)}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"{option}={str(name)!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def dtype_name(dtype: torch.dtype) -> Precision:
    """Return the name of a floating-point type that a model computes in."""
    return next(name for name, value in DTYPES.items() if value == dtype)


def find_dtype(name: str | torch.dtype) -> torch.dtype:
    """The floating-point type of a name.

    Raises:
        ConfigError: not one that a model computes in.
    """
    for known, dtype in DTYPES.items():
        if name in (known, dtype):
            return dtype
    raise ConfigError(f"dtype={str(name)!r}: expected one of {', '.join(DTYPES)}")


def find_precision(name: TrainingPrecision, device: torch.device) -> Precision:
    """Resolve ``"auto"`` to the precision to train in on a device: float16 on CUDA, as published; on a CPU bfloat16
    if it has units for that, otherwise float32.

    Raises:
        ConfigError: float16 on a CPU, which computes it slowly.
    """
    if name == "auto":
        if device.type == "cuda":
            return "float16"
        return "bfloat16" if cpu_multiplies_bfloat16() else "float32"
    if name == "float16" and device.type == "cpu":
        raise ConfigError(
            "hardware.precision='float16': a CPU takes some 13 times longer with it than with float32; expected auto, "
            "float32 or bfloat16 (or a CUDA device)"
        )
    return name


def cpu_multiplies_bfloat16() -> bool:
    """Tell whether the processor has matrix units for bfloat16 (Intel AMX); without them float32 is the safe choice."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
