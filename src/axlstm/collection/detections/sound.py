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
from axlstm.collection.detections.heard import rule_of, score_windows
from axlstm.collection.detections.segments import Segmenter
from axlstm.collection.encoders import EmbedderWindows, FrameWindows
from axlstm.collection.parts import to_float16
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
        if not isinstance(encoder, (EmbedderWindows, FrameWindows)):
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

        Of single frames it is the highest of each label.

        Args:
            x, sample_rate: as `axlstm.embed.embedder.Embedder.embed`.

        Raises:
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        return self.classify_batch([x], sample_rate)[0]

    def classify_batch(self, clips: Sequence[Audio], sample_rate: int | None = None) -> list[dict[str, float]]:
        """Classify clips of any lengths, computed together; the same numbers as one by one."""
        found = self._encoder.embedder.embed_batch(clips, sample_rate)
        if self.classifier.frames is None:
            rows = self.classifier.probabilities(np.stack([one.scene for one in found]))
        else:
            rows = np.stack([self.classifier.probabilities(one.frames).max(axis=0) for one in found])
        return [dict(zip(self.labels, row, strict=True)) for row in rows.tolist()]

    def events(self, x: Audio, sample_rate: int | None = None, *, threshold: float | None = None) -> list[SoundEvent]:
        """List the stretches of a sound in which labels are heard, in the order of time, as ``axlstm detect`` does.

        Args:
            threshold: of all labels, in place of the classifier's own.

        Raises:
            ConfigError: a classifier that predicts a number.
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        rule = rule_of(self.classifier, threshold)
        (windows,) = self._encoder.embed([self._encoder.embedder.prepare(x, sample_rate)])
        vectors = to_float16(windows.embeddings, "the sound")
        block = score_windows(self.classifier, vectors, windows.start_s, windows.end_s, "the sound")
        segmenter = Segmenter(rule)
        segments = rule.long_enough([*segmenter.add(*block), *segmenter.finish()])
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
