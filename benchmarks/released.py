"""Compute the released algorithm: the slow twin that ours is measured and tested against.

Eager float32, a clip at a time and a window at a time, with the extra window that a clip of a whole number of
windows costs there; each layer as the paper writes it, the mLSTM through its S x S matrix of decays.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.embed.embedder import Embedder
from axlstm.mlstm.parallel import mlstm_parallel
from axlstm.model.frame_encoder import cut_windows
from axlstm.model.layouts import PublishedLayout
from axlstm.model.vil import NORM_EPS, AxLSTMBlock, MLSTMLayer

ModelT = TypeVar("ModelT", bound=nn.Module)


class ReleasedLayer(nn.Module):
    """An `MLSTMLayer`'s weights, step by step as the release computes: ``(B, S, D)`` to the same."""

    def __init__(self, layer: MLSTMLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, prepared: None = None) -> Tensor:
        del prepared  # an AxLSTM block passes it; only the CPU mixer needs it
        layer, heads = self.layer, self.layer.config.heads
        x_m, z = layer.up(x).chunk(2, dim=-1)  # (B, S, I)
        past = layer.conv.weight.shape[-1] - 1
        conv = F.conv1d(x_m.transpose(1, 2), layer.conv.weight, layer.conv.bias, padding=past, groups=x_m.shape[-1])
        x_c = F.silu(conv[..., : x.shape[1]].transpose(1, 2))  # (B, S, I)
        q, k, v = layer.q(x_c), layer.k(x_c), layer.v(x_m)  # (B, S, I)
        qkv = torch.cat([q, k, v], dim=-1)  # (B, S, 3 I)
        igate, fgate = layer.input_gate(qkv).transpose(1, 2), layer.forget_gate(qkv).transpose(1, 2)  # (B, H, S)
        per_head = [y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in (q, k, v)]  # (B, H, S, DH)
        h = mlstm_parallel(per_head[0], per_head[1], per_head[2], igate, fgate)
        h = h.transpose(1, 2).reshape(-1, x_m.shape[-1])  # (B S, I)
        h = F.group_norm(h, heads, 1 + layer.head_norm, eps=NORM_EPS).reshape_as(x_m)
        out: Tensor = layer.down((h + layer.skip * x_c) * F.silu(z))
        return out


def as_released(model: ModelT) -> ModelT:
    """Make a model compute each of its mLSTM layers as the release does, and return it."""
    for block in list(model.modules()):
        if isinstance(block, AxLSTMBlock) and isinstance(block.layer, MLSTMLayer):
            block.layer = ReleasedLayer(block.layer)  # type: ignore[assignment]
    return model


class ReleasedEmbedder:
    """Embeds as the release does. It replaces the layers of the embedder that it is given."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.layout = PublishedLayout(embedder.config, embedder.frontend)
        as_released(embedder)

    @torch.no_grad()
    def embed(self, waveform: Tensor) -> Tensor:
        """Return frame embeddings ``(T, F)`` of one clip ``(n,)`` at 16 kHz."""
        logmel = self.embedder.logmel(waveform)  # (frames, bands)
        windows = cut_windows(self.layout, logmel, len(waveform), self.embedder.config)
        parts = [self.layout.frames(self.embedder.model.encoder(window[None])) for window in windows]
        return torch.cat(parts).flatten(0, 1)[: self.layout.frame_count(len(waveform))]
