"""The encoder in another runtime than torch, for `Embedder`: windows in, frame embeddings out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from axlstm.engines.graph import portable_encoder
from axlstm.engines.onnx import check_exporter, record, to_onnx
from axlstm.engines.runtimes import open_session
from axlstm.options import Runtime

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder

Encode = Callable[[Tensor], Tensor]


def compile_encoder(embedder: Embedder, engine: Runtime, precision: str) -> Encode:
    """``embedder``'s windows ``(N, window_frames, bands)`` to frames ``(N, grid_frames, F)``, float32, in an engine.

    Each of as many threads as torch has may call it at the same time, and computes on one core. The graph is of one
    window: where the shapes are fixed, OpenVINO leaves out transpositions that only undo each other, and larger
    batches are hardly faster.

    Raises:
        ConfigError: a library that is missing.
    """
    check_exporter()
    config, threads = embedder.config, torch.get_num_threads()
    example = torch.zeros(1, config.window_frames, config.mel_bands)
    program = record(portable_encoder(embedder), example, {})
    onnx = to_onnx(program, {"window": [None] * 3}, {"frames": [None] * 3}, {})
    session = open_session(onnx, engine, precision=precision, threads=threads, callers=threads)

    def encode(windows: Tensor) -> Tensor:
        return torch.from_numpy(np.concatenate([session.run(window[None])[0] for window in windows.numpy()]))

    return encode
