"""Compute the encoder in another runtime than torch: windows in, frame embeddings out."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
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
    patches = torch.tensor([config.grid_frames])
    program = record(PortableEncoder(frame_encoder), (example, patches), {})
    onnx = to_onnx(program, {"window": [None] * 3, "patches": [None]}, {"frames": [None] * 3}, {})
    session = open_session(onnx, engine, precision=precision, threads=threads, callers=threads)

    def encode(windows: Tensor) -> Tensor:
        real = windows.shape[1] // config.patch_frames  # patches of time
        filled = F.pad(windows, (0, 0, 0, config.window_frames - windows.shape[1])).numpy()
        patches = np.array([real])
        frames = [session.run(window[None], patches)[0][:, :real] for window in filled]
        return torch.from_numpy(np.concatenate(frames))  # (N, T, F)

    return encode
