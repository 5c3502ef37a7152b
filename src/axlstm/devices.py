"""Find devices and precisions by name, and refuse those that this machine cannot use."""

from __future__ import annotations

import torch

import axlstm.vector_math
from axlstm.errors import ConfigError
from axlstm.options import Precision, TrainingPrecision

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
KINDS = ("cpu", "mps", "cuda")  # "auto" takes the last one that this machine has


def find_device(name: str | torch.device, kinds: tuple[str, ...] = KINDS, option: str = "device") -> torch.device:
    """Find a device by its name.

    Args:
        name: a kind, a kind with a number (``"cuda:1"``), or ``"auto"``, which takes an accelerator if there is one.
        kinds: kinds of device that are allowed.
        option: name of the option, for the error message.

    Raises:
        ConfigError: an unknown name, or a device that this machine does not have.
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
    """Return the name of a floating-point type."""
    return next(name for name, value in DTYPES.items() if value == dtype)


def find_dtype(name: str | torch.dtype) -> torch.dtype:
    """Find a floating-point type by its name.

    Raises:
        ConfigError: a type that models do not compute in.
    """
    for known, dtype in DTYPES.items():
        if name in (known, dtype):
            return dtype
    raise ConfigError(f"dtype={str(name)!r}: expected one of {', '.join(DTYPES)}")


def find_precision(name: TrainingPrecision, device: torch.device) -> Precision:
    """Choose the precision of training on a device.

    ``"auto"`` is float16 on CUDA, as published, bfloat16 on a CPU with matrix units for it, and float32 elsewhere.

    Raises:
        ConfigError: float16 on a CPU, which is slow.
    """
    if name == "auto":
        if device.type == "cuda":
            return "float16"
        return "bfloat16" if cpu_multiplies_bfloat16() else "float32"
    if name == "float16" and device.type == "cpu":
        raise ConfigError(
            "hardware.precision='float16': training on a CPU takes about 13 times as long in float16 as in float32; "
            "expected auto, float32 or bfloat16"
        )
    return name


def cpu_multiplies_bfloat16() -> bool:
    """Tell whether the processor has matrix units for bfloat16 (Intel AMX); without them float32 is the safe choice."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
