"""Embed recordings with perch-hoplite 1: its embedding-model interface around an embedder.

A collection becomes its database by ``axlstm collection export --format hoplite``; this is for its own tools.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.adapters.hosts import import_host
from axlstm.embed.embedder import Embedder
from axlstm.embed.window_lengths import Windows
from axlstm.embed.windows import check_windows
from axlstm.errors import AudioError
from axlstm.hub import load_model
from axlstm.options import refuse_unknown

__all__ = ["HopliteModel"]

_INSTALL = '"axlstm[hoplite]"'
_zoo: Any = import_host("perch_hoplite.zoo.zoo_interface", _INSTALL)
_embed: Any = import_host("perch_hoplite.agile.embed", _INSTALL)
_config_dict: Any = import_host("ml_collections.config_dict", _INSTALL)
_SETTINGS = ("source", "sample_rate", "window_size_s", "hop_size_s", "options")


@dataclass
class HopliteModel(_zoo.EmbeddingModel):
    """Embeds the windows of a recording as `axlstm.Embedder.windows` does.

    Args:
        sample_rate: of the sound that comes in, in Hz. Another one than the embedder's is converted.
        embedder: what computes.
        window_size_s, hop_size_s: see `axlstm.embed.windows.Windows`.
        source: where `from_config` finds the embedder again, with its options; for `model_config`.

    Raises:
        ConfigError: windows that leave sound out or that the model's frames cannot fill.
    """

    embedder: Embedder = field(repr=False)
    window_size_s: float = 5.0
    hop_size_s: float = 5.0
    source: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_windows(Windows(self.window_size_s, self.hop_size_s), self.embedder.layout)

    @classmethod
    def from_config(cls, model_config: Any) -> HopliteModel:
        """Load the model that a configuration describes.

        Args:
            model_config: a ConfigDict or mapping with any of ``source`` (see `axlstm.load_model`; axlstm-tiny if it is
                left out), ``sample_rate``, ``window_size_s``, ``hop_size_s`` and ``options`` (those of
                `axlstm.options.EmbedderOptions`).

        Raises:
            ConfigError, CheckpointError: as `axlstm.load_model`, or as the class; or another setting.
        """
        refuse_unknown(model_config, _SETTINGS)
        own = {"source": "axlstm-tiny", **model_config, "options": dict(model_config.get("options", {}))}
        embedder = load_model(own["source"], **own["options"])
        return cls(**{"sample_rate": embedder.sample_rate, **own, "embedder": embedder})

    @property
    def model_config(self) -> Any:
        """Describe the model for ``EmbedWorker`` and its database: perch-hoplite's ``ModelConfig``."""
        return _embed.ModelConfig(
            model_key="axlstm",
            embedding_dim=self.embedder.scene_embedding_size,
            model_config=_config_dict.ConfigDict({name: getattr(self, name) for name in _SETTINGS}),
        )

    def embed(self, audio_array: NDArray[Any]) -> Any:
        """Embed the windows of a sound ``(n,)`` in [-1, 1], at `sample_rate`.

        Returns:
            ``InferenceOutputs`` with embeddings ``(windows, 1, D)``, float32. The last window ends with the sound: it
            may be shorter than the others.

        Raises:
            AudioError: another shape, or as `axlstm.Embedder.embed`.
        """
        samples = np.asarray(audio_array)
        if samples.ndim != 1:
            raise AudioError(f"audio_array: expected (samples,), got {samples.shape}")
        blocks = self.embedder.windows(samples, self.window_size_s, self.hop_size_s, self.sample_rate)
        embeddings = np.concatenate([block.embeddings for block in blocks])  # (windows, D)
        return _zoo.InferenceOutputs(embeddings=embeddings[:, None])

    def batch_embed(self, audio_batch: NDArray[Any]) -> Any:
        """Embed several sounds ``(B, n)`` as `embed` does: embeddings ``(B, windows, 1, D)``."""
        return _zoo.batch_embed_from_embed_fn(self.embed, np.asarray(audio_batch))
