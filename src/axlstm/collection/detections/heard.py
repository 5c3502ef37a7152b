"""Turn the probabilities of a recording's windows into detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.output import Detection
from axlstm.collection.detections.scores import ScoreBlock
from axlstm.collection.detections.segments import Rule, Segment, Segmenter
from axlstm.collection.encoders import WindowVectors
from axlstm.collection.labels.marks import Facts
from axlstm.collection.parts import to_float16
from axlstm.collection.search.filters import window_time
from axlstm.errors import AudioError


@dataclass(frozen=True)
class HeardRecording:
    """A recording whose windows have probabilities.

    Args:
        path: as the output has it.
        blocks: reads the windows, from the beginning.
    """

    path: str
    facts: Facts
    recorded_at: str | None
    blocks: Callable[[], Iterator[ScoreBlock]]


@dataclass
class Tally:
    """Counts what is heard: detections and recordings with some by label, and the highest probability of each."""

    labels: tuple[str, ...]
    detections: Counter[str] = field(default_factory=Counter)
    recordings: Counter[str] = field(default_factory=Counter)
    windows: int = 0
    peaks: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.peaks = np.zeros(len(self.labels), np.float32)


def find_detections(recordings: Iterable[HeardRecording], rule: Rule, tally: Tally) -> Iterator[Detection]:
    """Find the detections in recordings, one recording after another, each in the order of time."""
    for recording in recordings:
        segments = _find_segments(recording, rule, tally)
        tally.recordings.update({tally.labels[segment.label] for segment in segments})
        for start_s, end_s, label, score in segments:
            tally.detections[tally.labels[label]] += 1
            at = window_time(recording.recorded_at, start_s)
            yield Detection(recording.path, tally.labels[label], start_s, end_s, score, at)


def _find_segments(recording: HeardRecording, rule: Rule, tally: Tally) -> list[Segment]:
    segmenter, segments = Segmenter(rule), []
    for block in recording.blocks():
        segments += segmenter.add(*block)
        tally.windows += len(block.start_s)
        tally.peaks = np.maximum(tally.peaks, block.probabilities.max(axis=0, initial=0))
    return sorted(segments + segmenter.finish())


def score_vectors(classifier: Classifier, windows: WindowVectors, name: str) -> ScoreBlock:
    """Score windows by their vectors as a collection would keep them, which the classifier was trained on.

    Raises:
        AudioError: a vector or a probability that is no number.
    """
    rounded = to_float16(windows.embeddings, name)
    return score_windows(classifier, rounded, windows.start_s, windows.end_s, name)


def score_windows(
    classifier: Classifier,
    vectors: NDArray[np.float16],
    start_s: NDArray[np.float64],
    end_s: NDArray[np.float64],
    name: str,
) -> ScoreBlock:
    """Compute the probabilities of windows, of their vectors as collections keep them.

    Args:
        vectors: ``(n, D)``.
        name: of the recording, for messages.

    Raises:
        AudioError: a probability that is no number.
    """
    probabilities = classifier.probabilities(vectors).astype(np.float32)  # (n, L)
    if not np.isfinite(probabilities).all():
        raise AudioError(f"{name}: a probability that is no number, of a damaged vector")
    return ScoreBlock(start_s, end_s, probabilities)
