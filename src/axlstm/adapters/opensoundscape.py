"""Use a model inside OpenSoundscape: as the network of a classifier that embeds, is trained and predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from torch import Tensor, nn

from axlstm.adapters.hosts import import_host
from axlstm.embed.embedder import Embedder
from axlstm.hub import load_model
from axlstm.options import EmbedderOptions

__all__ = ["opensoundscape_classifier"]

_cnn: Any = import_host("opensoundscape.ml.cnn", "opensoundscape")
_preprocessors: Any = import_host("opensoundscape.preprocess.preprocessors", "opensoundscape")
_actions: Any = import_host("opensoundscape.preprocess.actions", "opensoundscape")


class _Network(nn.Module):
    """A frozen embedder with a linear layer that is trained, under the names that OpenSoundscape looks for."""

    embedding_layer, classifier_layer = "embedding", "classifier"

    def __init__(self, embedder: Embedder, classes: int) -> None:
        super().__init__()
        self.embedder = embedder.requires_grad_(False)
        self.embedding = nn.Identity()
        self.classifier = nn.Linear(embedder.scene_embedding_size, classes)

    def forward(self, samples: Tensor) -> Tensor:
        """Turn clips ``(B, 1, n)`` at 16 kHz into logits ``(B, classes)``."""
        frames, _ = self.embedder(samples[:, 0])
        logits: Tensor = self.classifier(self.embedding(self.embedder.pool(frames)))
        return logits


def opensoundscape_classifier(
    classes: Sequence[str],
    sample_duration: float = 5.0,
    source: str = "axlstm-tiny",
    **options: Unpack[EmbedderOptions],
) -> Any:
    """Make a classifier of OpenSoundscape on scene embeddings. ``embed`` gives them, ``train`` fits a linear layer.

    Args:
        classes: names of classes.
        sample_duration: of clips, in seconds.
        source: anything that `axlstm.load_model` takes.
        options: see `axlstm.options.EmbedderOptions`.

    Returns:
        ``opensoundscape.SpectrogramClassifier``, which reads sound and no spectrograms.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`.
    """
    embedder = load_model(source, **options)
    classifier = _cnn.SpectrogramClassifier(
        _Network(embedder, len(classes)),
        list(classes),
        sample_duration=sample_duration,
        sample_rate=embedder.sample_rate,
        preprocessor_cls=_preprocessors.AudioPreprocessor,
        device=str(embedder.device),
    )
    classifier.preprocessor.insert_action("to_samples", _actions.AudioToSamplesTensor())
    return classifier
