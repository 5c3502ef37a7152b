"""Use a model inside bacpipe, which compares embedding models on recordings of animals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from axlstm.adapters.hosts import import_host
from axlstm.hub import load_model

__all__ = ["BacpipeModel"]

_utils: Any = import_host("bacpipe.model_pipelines.model_utils", "--no-deps bacpipe")  # it pins torch 2.6


class BacpipeModel(_utils.ModelBaseClass):
    """Embeds bacpipe's segments, each by itself: the scene embeddings of `axlstm.Embedder.embed`.

    It goes where bacpipe takes a ``CustomModel``. Subclass it to choose:

    Attributes:
        source: anything that `axlstm.load_model` takes.
        segment_s: length of a segment, in seconds.
        embedder_options: see `axlstm.options.EmbedderOptions`.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`.
    """

    source = "axlstm-tiny"
    segment_s = 5.0
    embedder_options: Mapping[str, Any] = {}

    def __init__(self, **settings: Any) -> None:
        self.model = load_model(self.source, **self.embedder_options)
        rate = self.model.sample_rate
        super().__init__(sr=rate, segment_length=round(self.segment_s * rate), **settings)

    def preprocess(self, audio: Tensor) -> Tensor:
        """Pass segments ``(B, n)`` on as they are: the model has its own front end."""
        return audio

    def __call__(self, input: Tensor) -> Tensor:
        """Embed segments ``(B, n)`` at 16 kHz: ``(B, D)``, float32.

        Raises:
            AudioError: as `axlstm.Embedder.forward`.
        """
        frames, _ = self.model(input)
        return self.model.pool(frames)
