"""Windows of log-mel in, frame embeddings out: an encoder, the layers that are asked for, and a layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from axlstm.model.encoder import Encoder
from axlstm.model.layouts import Layout

Encode = Callable[[Tensor], Tensor]
"""Windows ``(N, window_frames, bands)`` to frame embeddings ``(N, grid_frames, F)``, float32."""


class FrameEncoder(nn.Module):
    """Turn normalised windows into frame embeddings: what an embedder and every engine computes.

    Args:
        encoder: shared, not copied.
        layout: how tokens become frames in the order of time.
        layers: hidden states, from 0 to depth, put side by side in each frame; None takes the last layer's
            normalised output.
    """

    def __init__(self, encoder: Encoder, layout: Layout, layers: Sequence[int] | None = None) -> None:
        super().__init__()
        self.config, self.encoder, self.layout, self.layers = encoder.config, encoder, layout, layers

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the encoder."""
        return self.encoder.norm.weight.dtype

    @property
    def frame_size(self) -> int:
        """F, numbers in a frame embedding."""
        return self.config.embedding_size * (1 if self.layers is None else len(self.layers))

    def prepare(self) -> Encode:
        """A function of the weights of now, for many batches and from any thread. Later changes do not reach it."""
        prepared = self.encoder.prepare(self.dtype)

        @torch.no_grad()
        def encode(windows: Tensor) -> Tensor:
            windows = windows.to(self.dtype)
            if self.layers is None:
                states = [self.encoder(windows, prepared=prepared)]
            else:
                states = self.encoder.hidden_states(windows, self.layers, prepared)
            return self.frames(states).float()

        return encode

    def frames(self, states: Sequence[Tensor]) -> Tensor:
        """Tokens of each layer, ``(N, tokens, D)``, as frames ``(N, grid_frames, F)``."""
        return torch.cat([self.layout.frames(state) for state in states], dim=-1)

    def forward(self, windows: Tensor) -> Tensor:
        """Frame embeddings of one batch ``(N, window_frames, bands)``: ``(N, grid_frames, F)``, float32."""
        return self.prepare()(windows)
