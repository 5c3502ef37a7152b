"""The HEAR API (Turian et al. 2022, https://hearbenchmark.com), for hear-eval-kit and everything that speaks it."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from axlstm.embed.embedder import Embedder
from axlstm.hub import load_model as load_embedder
from axlstm.options import EmbedderOptions


def load_model(path: str = "", *, revision: str | None = None, **options: Unpack[EmbedderOptions]) -> Embedder:
    """Load the embedder at ``path``, or AxLSTM-Tiny if it is empty.

    Args:
        path: any source that `axlstm.load_model` takes.
        revision: of a Hub id: a branch, tag or commit.
        options: see `axlstm.options.EmbedderOptions`.
    """
    return load_embedder(path or "axlstm-tiny", revision=revision, **options)


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
