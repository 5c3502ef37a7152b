"""Embed with every hidden state at once, for hosts that weigh or compare layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from axlstm.audio.read import load_audio
from axlstm.checkpoints.sources import find_checkpoint
from axlstm.embed.embedder import Embedder
from axlstm.embed.settings import check_options
from axlstm.errors import ConfigError
from axlstm.options import EmbedderOptions


class Layers(nn.Module):
    """Give the frames of every hidden state of clips of any lengths, each clip as it is alone. The weights are frozen.

    Args:
        source: anything that `axlstm.load_model` takes.
        options: see `axlstm.options.EmbedderOptions`, but for ``layers``: they are all given. The engine is torch
            unless another is named, since hosts move a module between devices.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`; or ``layers``.
    """

    def __init__(self, source: str = "axlstm-tiny", **options: Unpack[EmbedderOptions]) -> None:
        super().__init__()
        if "layers" in options:
            raise ConfigError(f"layers={options['layers']!r}: all layers are given; leave it out")
        chosen: Any = {"engine": None, **options}
        check_options(chosen)
        checkpoint = find_checkpoint(source)
        self.count = checkpoint.model.config.depth + 1
        self.embedder = Embedder(checkpoint, **chosen, layers=range(self.count))
        self.size = self.embedder.timestamp_embedding_size // self.count
        """Of a frame of one layer."""
        self.frame_samples = checkpoint.model.config.patch_frames * checkpoint.frontend.hop_samples
        """Samples at 16 kHz from one frame to the next."""

    def forward(self, clips: Sequence[NDArray[np.float32] | Tensor], sample_rate: int) -> list[Tensor]:
        """Embed clips ``(n,)`` each.

        Args:
            sample_rate: of the clips, in Hz.

        Returns:
            for each clip its frames, ``(layers, T, F)``, float32, on the embedder's device.

        Raises:
            AudioError: as `axlstm.Embedder.embed_batch`.
        """
        found = self.embedder.embed_batch([load_audio(clip, sample_rate) for clip in clips], self.embedder.sample_rate)
        frames = [torch.from_numpy(clip.frames).to(self.embedder.device) for clip in found]  # (T, layers * F) each
        return [one.unflatten(-1, (self.count, self.size)).movedim(1, 0) for one in frames]
