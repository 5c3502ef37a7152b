"""A HEAR-API module: an axlstm model whose clip embedding holds the deviations of its frames over time, too.

The log-mel baseline has deviations and the plain clip embedding has not. This tells how much of a difference between
them comes from that, and not from what the frames hold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import axlstm.hear


class MeanAndDeviation(nn.Module):
    """An embedder as HEAR's model object, with clip embeddings of twice the size."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.embedder = axlstm.hear.load_model(source)
        self.sample_rate = self.embedder.sample_rate
        self.timestamp_embedding_size = self.embedder.timestamp_embedding_size
        self.scene_embedding_size = 2 * self.timestamp_embedding_size
        self.fingerprint = f"{self.embedder.fingerprint}-deviation"


def load_model(path: str = "") -> MeanAndDeviation:
    """The model at ``path``, any source that `axlstm.load_model` takes; or AxLSTM-Tiny if it is empty."""
    return MeanAndDeviation(path)


def get_timestamp_embeddings(audio: Tensor, model: MeanAndDeviation) -> tuple[Tensor, Tensor]:
    """The embedder's own: ``(B, n)`` to ``(B, T, F)`` and ``(B, T)`` in ms."""
    return axlstm.hear.get_timestamp_embeddings(audio, model.embedder)


def get_scene_embeddings(audio: Tensor, model: MeanAndDeviation) -> Tensor:
    """Mean and deviation over the frames of clips ``(B, n)`` of one length: ``(B, 2 F)``."""
    frames, _ = model.embedder(audio)
    return torch.cat([frames.mean(dim=1), frames.std(dim=1, unbiased=False)], dim=-1)
