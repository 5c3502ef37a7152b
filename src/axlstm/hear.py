"""The HEAR API (Turian et al. 2022, https://hearbenchmark.com), for hear-eval-kit and everything that speaks it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from axlstm.embed.embedder import Embedder
from axlstm.hub import load_model as load_embedder


def load_model(path: str = "", **options: Any) -> Embedder:
    """An embedder: of the weights at ``path``, or of AxLSTM-Tiny if it is empty.

    Args:
        path: any source that `axlstm.load_model` takes.
        options: those of `axlstm.load_model`: ``layout``, ``dtype``, ``device``, ``layers``, ``pooling``, ...
    """
    return load_embedder(path or "axlstm-tiny", **options)


def get_timestamp_embeddings(audio: Tensor, model: Embedder) -> tuple[Tensor, Tensor]:
    """Frame embeddings of clips of one length.

    Args:
        audio: ``(B, n)`` in [-1, 1], at ``model.sample_rate``.

    Returns:
        embeddings ``(B, T, F)`` and timestamps in ms ``(B, T)``, float32, on the model's device.
    """
    frames, timestamps_ms = model(audio)
    return frames, timestamps_ms.expand(len(frames), -1)


def get_scene_embeddings(audio: Tensor, model: Embedder) -> Tensor:
    """Clip embeddings ``(B, F)`` of clips ``(B, n)`` of one length: of their frames, pooled as the model says."""
    frames, _ = model(audio)
    return model.pool(frames)
