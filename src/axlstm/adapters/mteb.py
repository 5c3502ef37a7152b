"""Evaluate an embedder with MTEB, whose audio tasks are MAEB (El Assadi et al. 2026, arXiv 2602.16008).

Sound is decoded by `axlstm.audio` and resampled by soxr: neither torchaudio nor torchcodec is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from axlstm.adapters.hosts import import_host
from axlstm.audio.read import Audio, load_audio
from axlstm.embed.batching import embed_in_groups
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, ConfigError
from axlstm.hub import load_model
from axlstm.options import EmbedderOptions

__all__ = ["MtebEncoder", "model_meta"]

_INSTALL = '"axlstm[mteb]"'
_models: Any = import_host("mteb.models", _INSTALL)
_abs_encoder: Any = import_host("mteb.models.abs_encoder", _INSTALL)
_datasets: Any = import_host("datasets", _INSTALL)


class MtebEncoder(_abs_encoder.AbsEncoder):
    """Embeds the sounds of MTEB's tasks: the scene embeddings of `axlstm.Embedder.embed`, each clip by itself.

    Args:
        model_name: an embedder; or anything that `axlstm.load_model` takes.
        revision: of a Hub id.
        options: see `axlstm.options.EmbedderOptions`.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`; or an embedder together with options.
    """

    def __init__(
        self,
        model_name: str | Embedder = "axlstm-tiny",
        revision: str | None = None,
        **options: Unpack[EmbedderOptions],
    ) -> None:
        if isinstance(model_name, Embedder):
            if options or revision is not None:
                names = ", ".join(["revision"] * (revision is not None) + sorted(options))
                raise ConfigError(f"{names}: an embedder has its options already; give a name or path, or leave it out")
            self.model = model_name
        else:
            self.model = load_model(model_name, revision=revision, **options)
        self.mteb_model_meta = _describe(self.model)

    def encode(self, inputs: Any, *, task_metadata: Any, **_: Any) -> NDArray[np.float32]:
        """Embed the clips of a task: ``(clips, D)``, float32.

        Args:
            inputs: a DataLoader of MTEB, whose batches hold sounds under ``audio``: encoded, or decoded at any rate.
            task_metadata: its name is for messages.

        Raises:
            ConfigError: inputs without sound.
            AudioError, FileNotFoundError: a sound that cannot be read, or is shorter than 400 samples at 16 kHz; it
                names the clip by its index.
        """
        try:
            found = embed_in_groups(self.model, _clips(inputs), self.model.sample_rate)
            return np.stack([clip.scene for clip in found])
        except (AudioError, ConfigError, FileNotFoundError) as error:
            raise type(error)(f"{task_metadata.name}: {error}") from error


class _Description(_models.ModelMeta):
    """A description that loads its model where MTEB's own first asks for torchaudio, which no code here needs."""

    def load_model(self, device: str | None = None, *, embed_dim: int | None = None, **options: Any) -> MtebEncoder:
        """Load the model that `model_meta` was asked for; ``embed_dim`` can only be its own."""
        if embed_dim not in (None, self.embed_dim):
            raise ConfigError(f"embed_dim={embed_dim}: this model has {self.embed_dim}")
        chosen = options if device is None else {**options, "device": device}
        encoder = self.loader(**self.loader_kwargs | chosen)
        encoder.mteb_model_meta = self
        return encoder


def model_meta(source: str = "axlstm-tiny", **options: Unpack[EmbedderOptions]) -> Any:
    """Describe a model as MTEB does. ``mteb.evaluate`` takes the description, and loads the model when it needs it.

    Args:
        source: anything that `axlstm.load_model` takes.
        options: see `axlstm.options.EmbedderOptions`.

    Returns:
        ``mteb.models.ModelMeta``. Its revision is the embedder's fingerprint, so that MTEB tells results of other
        weights or options apart. Licence, training data and dates are not known: ``model_copy(update=...)`` fills them
        in.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`.
    """
    own: Any = {"model_name": source, **options}
    return _describe(load_model(source, **options)).model_copy(update={"loader": MtebEncoder, "loader_kwargs": own})


def _describe(embedder: Embedder) -> Any:
    count = embedder.parameter_count
    return _Description(
        loader=None,
        name=embedder.name if "/" in embedder.name else f"axlstm/{embedder.name}",
        revision=embedder.fingerprint,
        release_date=None,
        languages=None,
        n_parameters=count,
        memory_usage_mb=round(count * 4 / 2**20, 1),
        max_tokens=float("inf"),
        embed_dim=embedder.scene_embedding_size,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=False,
        training_datasets=None,
        modalities=["audio"],
    )


def _sounds(inputs: Any) -> Iterator[Any]:
    """Yield the sounds of a DataLoader in order, encoded where its dataset has them so."""
    features = getattr(inputs.dataset, "features", {})
    if isinstance(features.get("audio"), _datasets.Audio):
        undecoded = inputs.dataset.cast_column("audio", _datasets.Audio(decode=False))
        yield from (row["audio"] for row in undecoded)
        return
    for batch in inputs:
        if "audio" not in batch:
            raise ConfigError(f"expected inputs with audio, got {', '.join(sorted(batch))}: this model embeds sound")
        yield from batch["audio"]


def _clips(inputs: Any) -> Iterator[NDArray[np.float32]]:
    """Read the sounds of a DataLoader at 16 kHz."""
    for index, sound in enumerate(_sounds(inputs)):
        try:
            yield load_audio(*_source(sound))
        except (AudioError, FileNotFoundError) as error:
            raise type(error)(f"clip {index}: {error}") from error


def _source(sound: Any) -> tuple[Audio, int | None]:
    """Return what `load_audio` takes of a sound as ``datasets`` has it."""
    if isinstance(sound, dict) and "array" not in sound:
        return (sound["path"] if sound["bytes"] is None else sound["bytes"]), None
    return np.asarray(sound["array"]), int(sound["sampling_rate"])  # of torchcodec's decoder too
