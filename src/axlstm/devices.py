"""Devices and precisions by name: chosen and checked before anything computes on them."""

from __future__ import annotations

import torch

from axlstm.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
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


def find_dtype(name: str | torch.dtype) -> torch.dtype:
    """The floating-point type of a name.

    Raises:
        ConfigError: not one that a model computes in.
    """
    chosen = DTYPES.get(name) if isinstance(name, str) else name
    if chosen is None or chosen not in DTYPES.values():
        raise ConfigError(f"dtype={name!r}: expected one of {', '.join(DTYPES)}")
    return chosen
