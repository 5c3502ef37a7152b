"""An engine by its name: the frame encoder of now, computed by other means than torch in this process."""

from __future__ import annotations

import torch

from axlstm.devices import dtype_name
from axlstm.engines.processes import encode_in_processes
from axlstm.model.frame_encoder import Encode, FrameEncoder
from axlstm.options import EngineName


def start_engine(name: EngineName, frame_encoder: FrameEncoder, dtype: torch.dtype) -> Encode:
    """Start an engine with the weights of now.

    Args:
        frame_encoder: in ``dtype`` for processes, else in float32.
        dtype: to compute in.

    Raises:
        ConfigError: a library that is missing.
    """
    if name == "processes":
        return encode_in_processes(frame_encoder)
    from axlstm.engines.compiled import compile_encoder

    return compile_encoder(frame_encoder, name, dtype_name(dtype))
