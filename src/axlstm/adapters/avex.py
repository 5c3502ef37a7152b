"""Use a model inside AVEX, a framework of bioacoustic encoders (Miron et al. 2026): layers to hook, for its probes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from axlstm.adapters.hosts import import_host
from axlstm.adapters.layers import Layers
from axlstm.errors import ConfigError

__all__ = ["AvexModel"]

_base: Any = import_host("avex.models.base_model", "avex")


class AvexModel(_base.ModelBase):
    """Gives frames to AVEX's hooks: of the patches (``states.0``) and of each block. The weights are frozen.

    ``avex.register_model_class(AvexModel)`` lets ``build_model_from_spec`` build it for the name ``axlstm``.

    Args:
        device: see `axlstm.options.EncoderOptions`.
        audio_config: AVEX's; of it the sample rate counts, which is that of the sound that comes in. None is 16 kHz.
        init_config: ``source``, which is anything that `axlstm.load_model` takes, axlstm-tiny if it is left out; and
            options of `axlstm.options.EmbedderOptions` other than ``device`` and ``layers``.
        return_features_only: only True is possible.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`; or a classifier asked for.
    """

    name = "axlstm"

    def __init__(
        self,
        device: str = "cpu",
        audio_config: Any = None,
        init_config: dict[str, Any] | None = None,
        return_features_only: bool = True,
    ) -> None:
        super().__init__(device=device, audio_config=None)  # its spectrograms are not ours
        if not return_features_only:
            raise ConfigError("return_features_only=False: this model has no classes; put a probe of AVEX behind it")
        rate = audio_config.get("sample_rate") if isinstance(audio_config, dict) else audio_config
        self.sample_rate_hz = int(getattr(rate, "sample_rate", rate) or 16_000)
        self.encoder = Layers(**{**(init_config or {}), "device": device})
        self.states = nn.ModuleList(nn.Identity() for _ in range(self.encoder.count))

    def _discover_embedding_layers(self) -> None:
        """Name the layers that AVEX may hook."""
        self._layer_names = [f"states.{number}" for number in range(len(self.states))]

    def extract_embeddings(
        self,
        x: Tensor | dict[str, Tensor],
        *,
        padding_mask: Tensor | None = None,
        aggregation: str = "none",
        freeze_backbone: bool = True,  # noqa: ARG002
    ) -> Any:
        """Collect what the hooks see, as AVEX does; ``freeze_backbone``, of its probes, is always true here."""
        return super().extract_embeddings(x, padding_mask=padding_mask, aggregation=aggregation)

    def forward(self, x: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Embed clips ``(B, n)`` of the rate in the audio configuration; hooks see ``(B, T, F)`` of each layer.

        Args:
            padding_mask: ``(B, n)``, true behind the end of a clip. Each clip is embedded as it is alone; behind its
                end its frames are their mean, so that AVEX's means and maxima over frames are those of the clip.

        Returns:
            the frames of the last block, ``(B, T, F)``, float32.

        Raises:
            AudioError: as `axlstm.Embedder.embed_batch`.
        """
        lengths = [x.shape[1]] * len(x) if padding_mask is None else (~padding_mask.bool()).sum(1).tolist()
        clips = [clip[:length] for clip, length in zip(x, lengths, strict=True)]
        frames = self.encoder(clips, self.sample_rate_hz)  # (layers, T, F) each
        longest = max(one.shape[1] for one in frames)
        rows = [torch.cat([one, one.mean(1, keepdim=True).expand(-1, longest - one.shape[1], -1)], 1) for one in frames]
        *_, last = (tap(state) for tap, state in zip(self.states, torch.stack(rows, 1), strict=True))
        return last
