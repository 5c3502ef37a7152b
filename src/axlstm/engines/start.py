"""An engine by its name: checked first, started when the weights are there."""

from __future__ import annotations

import torch

from axlstm.engines.processes import PROCESSES, encode_in_processes
from axlstm.engines.runtimes import check_runtime
from axlstm.errors import ConfigError
from axlstm.model.frame_encoder import Encode, FrameEncoder


def check_engine(name: str | None, device: torch.device, dtype: torch.dtype) -> bool:
    """Refuse an engine that cannot compute here; returns whether torch computes, in this process or in others.

    Raises:
        ConfigError: an unknown engine, one that is not installed, or one for another device or precision.
    """
    if name is None:
        return True
    if device.type != "cpu":
        raise ConfigError(f"engine={name!r} computes on the CPU, not on device={str(device)!r}")
    if name != PROCESSES:
        check_runtime(name, _spell(dtype))
    return name == PROCESSES


def start_engine(name: str, frame_encoder: FrameEncoder, dtype: torch.dtype) -> Encode:
    """The frame encoder in an engine that `check_engine` has accepted, with the weights of now.

    Args:
        frame_encoder: in ``dtype`` for processes, else in float32.
    """
    if name == PROCESSES:
        return encode_in_processes(frame_encoder)
    from axlstm.engines.compiled import compile_encoder

    return compile_encoder(frame_encoder, check_runtime(name), _spell(dtype))


def _spell(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
