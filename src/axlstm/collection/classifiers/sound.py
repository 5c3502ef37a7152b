"""Use a classifier by itself: a sound in, probabilities of its labels or events with times out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from axlstm.audio.read import Audio
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.classifiers.classifier import load_classifier as read_classifier
from axlstm.collection.detections.heard import score_windows
from axlstm.collection.detections.segments import Segmenter, make_rule
from axlstm.collection.encoders import EmbedderWindows
from axlstm.collection.parts import to_float16
from axlstm.embed.batching import FrameBlock
from axlstm.embed.windows import pool_windows
from axlstm.errors import ConfigError


class SoundEvent(NamedTuple):
    """A stretch of a sound in which a label is heard, in seconds, and the highest probability in it."""

    label: str
    start_s: float
    end_s: float
    score: float


class SoundClassifier:
    """A classifier with its encoder. Made by `axlstm.load_classifier`.

    Args:
        classifier: of any kind that ``axlstm train`` or ``axlstm finetune`` makes.
        options: of its encoder, such as ``device``; and ``model``, where that is now.

    Raises:
        ConfigError: an encoder that is not there, or is none of axlstm's own.
    """

    def __init__(self, classifier: Classifier, **options: Any) -> None:
        encoder = classifier.load_encoder(**options)
        if not isinstance(encoder, EmbedderWindows):
            raise ConfigError(
                f"the classifier's encoder is {classifier.encoder.source}, none of axlstm's own: axlstm detect takes it"
            )
        self.classifier, self._encoder = classifier, encoder

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of its labels."""
        return self.classifier.labels

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the probability from which on each label counts as heard."""
        return dict(zip(self.labels, self.classifier.thresholds.tolist(), strict=True))

    def classify(self, x: Audio, sample_rate: int | None = None) -> dict[str, float]:
        """Give the probability of each label for one clip as a whole; of a regression, the number it predicts.

        Args:
            x, sample_rate: as `axlstm.embed.embedder.Embedder.embed`.

        Raises:
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        return self.classify_batch([x], sample_rate)[0]

    def classify_batch(self, clips: Sequence[Audio], sample_rate: int | None = None) -> list[dict[str, float]]:
        """Classify clips of any lengths, computed together; the same numbers as one by one."""
        vectors = np.stack([found.scene for found in self._encoder.embedder.embed_batch(clips, sample_rate)])
        return [dict(zip(self.labels, row, strict=True)) for row in self.classifier.probabilities(vectors).tolist()]

    def events(self, x: Audio, sample_rate: int | None = None, *, threshold: float | None = None) -> list[SoundEvent]:
        """List the stretches of a sound in which labels are heard, in the order of time, as ``axlstm detect`` does.

        Args:
            threshold: of all labels, in place of the classifier's own.

        Raises:
            ConfigError: a classifier that predicts a number.
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        if self.classifier.mode == "regression":
            raise ConfigError("a regression predicts a number and hears no events: classify gives it")
        found = self._encoder.embedder.embed(x, sample_rate)
        frames = FrameBlock(found.frames, found.timestamps_ms, found.duration_s)
        (windows,) = pool_windows(
            [frames], self._encoder.windows, self._encoder.embedder.layout, self._encoder.embedder.pooling
        )
        vectors = to_float16(windows.embeddings, "the sound")
        block = score_windows(self.classifier, vectors, windows.start_s, windows.end_s, "the sound")
        segmenter = Segmenter(make_rule(self.classifier.thresholds, threshold))
        segments = [*segmenter.add(*block), *segmenter.finish()]
        return [SoundEvent(self.labels[one.label], one.start_s, one.end_s, one.score) for one in sorted(segments)]


def load_classifier(folder: str | os.PathLike[str], **options: Any) -> SoundClassifier:
    """Load a classifier with its encoder: a sound in, probabilities of labels or events out. Nothing is executed.

    Args:
        folder: that ``axlstm train`` or ``axlstm finetune`` has made.
        options: of its encoder, such as ``device``; and ``model``, where that is now.

    Raises:
        DataError: the folder holds no classifier, such as one of a model that embeds.
        DamageError: a file of it is damaged.
        ConfigError: its encoder is not there, or is none of axlstm's own.
    """
    return SoundClassifier(read_classifier(Path(folder)), **options)
