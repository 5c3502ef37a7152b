"""Turn a clip's log-mel into windows, and windows into frames: the encoder, and what lies around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.audio.logmel import normalise
from axlstm.model.config import ModelConfig
from axlstm.model.encoder import Encoder
from axlstm.model.layouts import Layout

Encode = Callable[[Tensor], Tensor]
"""Windows of one length ``(N, frames, bands)`` to frame embeddings ``(N, T, F)``, float32."""


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
        """Return the precision of the encoder."""
        return self.encoder.norm.weight.dtype

    @torch.no_grad()
    def prepare(self) -> Encode:
        """Return a function of the present weights, for many batches and any thread. Later changes do not reach it."""
        prepared = self.encoder.prepare(self.dtype)

        @torch.no_grad()
        def encode(windows: Tensor) -> Tensor:
            windows = windows.to(self.dtype)
            # The weights are prepared for one dtype, and a caller's autocast does not reach the threads of a batch.
            with torch.autocast(windows.device.type, enabled=False):
                if self.layers is None:
                    states = [self.encoder(windows, prepared=prepared)]
                else:
                    states = self.encoder.hidden_states(windows, self.layers, prepared)
                return self.frames(states).float()

        return encode

    def frames(self, states: Sequence[Tensor]) -> Tensor:
        """Turn tokens of each layer, ``(N, tokens, D)``, into frames ``(N, T, F)``."""
        return torch.cat([self.layout.frames(state) for state in states], dim=-1)

    def forward(self, windows: Tensor) -> Tensor:
        """Compute frame embeddings of one batch ``(N, frames, bands)``: ``(N, T, F)``, float32."""
        return self.prepare()(windows)


def cut_windows(layout: Layout, logmel: Tensor, samples: int, config: ModelConfig) -> Sequence[Tensor]:
    """Cut log-mel ``(1 + samples // hop, bands)`` into normalised windows ``(window_frames, bands)``.

    The last may be shorter. What it lacks of the layout's length is padded with zeros, after normalisation.
    """
    mel = normalise(logmel[: layout.mel_frames(samples)])  # (frames, bands)
    wanted = layout.encoded_frames(samples)
    return F.pad(mel[:wanted], (0, 0, 0, max(0, wanted - len(mel)))).split(config.window_frames)
