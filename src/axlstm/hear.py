"""Implement the HEAR API (Turian et al. 2022, https://hearbenchmark.com), which hear-eval-kit calls."""

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
        revision: branch, tag or commit of a Hub id.
        options: see `axlstm.options.EmbedderOptions`.
    """
    return load_embedder(path or "axlstm-tiny", revision=revision, **options)


def get_timestamp_embeddings(audio: Tensor, model: Embedder) -> tuple[Tensor, Tensor]:
    """Compute frame embeddings of clips of one length.

    Args:
        audio: ``(B, n)`` in [-1, 1], at ``model.sample_rate``.

    Returns:
        embeddings ``(B, T, F)`` and timestamps in ms ``(B, T)``, float32, on the model's device.

    Raises:
        AudioError: another shape, fewer than 400 samples, or values that are no sound; it names the clip by its index.
    """
    frames, timestamps_ms = model(audio)
    return frames, timestamps_ms.expand(len(frames), -1)


def get_scene_embeddings(audio: Tensor, model: Embedder) -> Tensor:
    """Compute clip embeddings ``(B, F)`` of clips ``(B, n)`` of one length with the model's pooling.

    Raises:
        AudioError: as `get_timestamp_embeddings`.
    """
    frames, _ = model(audio)
    return model.pool(frames)
