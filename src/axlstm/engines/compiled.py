"""Compute the encoder in another runtime than torch: windows in, frame embeddings out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from axlstm.engines.graph import PortableEncoder
from axlstm.engines.onnx import check_exporter, record, to_onnx
from axlstm.engines.runtimes import open_session
from axlstm.model.frame_encoder import Encode, FrameEncoder
from axlstm.options import Runtime


def compile_encoder(frame_encoder: FrameEncoder, engine: Runtime, precision: str) -> Encode:
    """Compile a frame encoder, in float32 on the CPU, for an engine that computes in ``precision``.

    Each of as many threads as torch has may call it at the same time, and computes on one core. The graph is of one
    window: where the shapes are fixed, OpenVINO leaves out transpositions that only undo each other, and larger
    batches are hardly faster.

    Raises:
        ConfigError: a library that is missing.
    """
    check_exporter()
    config, threads = frame_encoder.config, torch.get_num_threads()
    example = torch.zeros(1, config.window_frames, config.mel_bands)
    program = record(PortableEncoder(frame_encoder), example, {})
    onnx = to_onnx(program, {"window": [None] * 3}, {"frames": [None] * 3}, {})
    session = open_session(onnx, engine, precision=precision, threads=threads, callers=threads)

    def encode(windows: Tensor) -> Tensor:
        return torch.from_numpy(np.concatenate([session.run(window[None])[0] for window in windows.numpy()]))

    return encode
