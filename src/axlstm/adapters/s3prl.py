"""Use a model as an upstream of s3prl, whose downstream tasks weigh all hidden states (SUPERB, Yang et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from axlstm.adapters.hosts import import_host
from axlstm.adapters.layers import Layers
from axlstm.errors import ConfigError

__all__ = ["UpstreamExpert", "register"]

import_host("s3prl", "s3prl")
_RATE_HZ = 16_000  # of all sound in s3prl


class UpstreamExpert(nn.Module):
    """Give the frames of every hidden state: of the patches, and of each block. The weights are frozen.

    Args:
        ckpt: anything that `axlstm.load_model` takes.
        model_config: s3prl's second file, which models here do not have.
        refresh: s3prl passes it on; nothing is fetched anew.
        options: see `axlstm.options.EmbedderOptions`, but for ``layers``.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`.
    """

    def __init__(
        self,
        ckpt: str = "axlstm-tiny",
        model_config: str | None = None,
        refresh: bool = False,  # noqa: ARG002
        **options: Any,
    ) -> None:
        super().__init__()
        if model_config is not None:
            raise ConfigError(f"model_config={model_config!r}: a model's folder has its configuration; leave it out")
        self.layers = Layers(ckpt, **options)

    def get_downsample_rates(self, key: str) -> int:  # noqa: ARG002
        """Return the number of samples from one frame to the next: 640, which are 40 ms, for the published sizes."""
        return self.layers.frame_samples

    def forward(self, wavs: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """Embed waveforms ``(n,)`` at 16 kHz.

        Returns:
            ``hidden_states``: one ``(B, T, F)`` for each layer. A clip's frames are those it has alone. s3prl counts a
            frame for every 640 samples that have begun: where less than half a frame is left, the last one stands
            twice. Behind the end of a clip all is zero.

        Raises:
            AudioError: as `axlstm.Embedder.embed_batch`.
        """
        clips = [clip.movedim(0, 1) for clip in self.layers(wavs, _RATE_HZ)]  # (T, layers, F) each
        counts = [-(-len(wav) // self.layers.frame_samples) for wav in wavs]
        whole = [torch.cat([clip, clip[-1:]])[:count] for clip, count in zip(clips, counts, strict=True)]
        return {"hidden_states": list(pad_sequence(whole, batch_first=True).unbind(2))}


def register(name: str = "axlstm") -> None:
    """Let s3prl know the upstream: ``S3PRLUpstream(name, path_or_url=SOURCE)`` finds it.

    Raises:
        ConfigError: s3prl's list of upstreams cannot be imported.
    """
    setattr(import_host("s3prl.hub", "s3prl"), name, UpstreamExpert)
