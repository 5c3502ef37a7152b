"""The released algorithm, as the slow twin that ours is measured against.

Eager float32, the parallel form of the mLSTM, a clip at a time and a window at a time, with the extra window
that a clip of a whole number of windows costs there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from axlstm.embedder import Embedder
from axlstm.layouts import PublishedLayout
from axlstm.model.vil import MLSTMLayer


class ReleasedEmbedder:
    """Embeds as the release does, with an embedder of its own, whose mLSTM it sets to the parallel form."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        for module in embedder.modules():
            if isinstance(module, MLSTMLayer):
                module.backend = "parallel"
        self.layout = PublishedLayout(embedder.config, embedder.checkpoint.frontend)

    @torch.no_grad()
    def embed(self, waveform: Tensor) -> Tensor:
        """Frame embeddings ``(T, F)`` of one clip ``(n,)`` at 16 kHz."""
        logmel = self.embedder.logmel(waveform)  # (frames, bands)
        windows = self.layout.windows(logmel, len(waveform))
        parts = [self.layout.frames(self.embedder.model.encoder(window)) for window in windows.split(1)]
        return torch.cat(parts).flatten(0, 1)[: self.layout.frame_count(len(waveform))]
