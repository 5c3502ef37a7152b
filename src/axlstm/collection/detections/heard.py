"""Turn the probabilities of a recording's windows into detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.output import Detection
from axlstm.collection.detections.scores import ScoreBlock
from axlstm.collection.detections.segments import Rule, Segment, Segmenter, make_rule
from axlstm.collection.encoders import WindowVectors
from axlstm.collection.labels.marks import Facts
from axlstm.collection.parts import to_float16
from axlstm.collection.search.filters import window_time
from axlstm.errors import AudioError, ConfigError


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
    return sorted(rule.long_enough(segments + segmenter.finish()))


def rule_of(
    classifier: Classifier, threshold: float | None = None, low: float | None = None, gap_s: float = 0.0
) -> Rule:
    """Make the rule for a classifier's segments; see `axlstm.collection.detections.segments.make_rule`.

    What tells labels of single frames has one threshold, and events of a least length.

    Raises:
        ConfigError: as there, or a classifier that predicts a number.
    """
    if classifier.mode == "regression":
        raise ConfigError(
            f"a regression, which predicts the {', '.join(classifier.labels)} of a clip and hears no events: "
            "axlstm.load_classifier(...).classify gives it"
        )
    if classifier.frames is None:
        return make_rule(classifier.thresholds, threshold, low, gap_s)
    rule = make_rule(classifier.thresholds, threshold, low, gap_s)
    least_ms = classifier.frames.least_ms  # between the centres of the first frame and the last
    least_s = least_ms / 1000 + classifier.encoder.hop_s if least_ms else 0.0
    return replace(rule, low=rule.high if low is None else rule.low, least_s=least_s)


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
    if classifier.frames is not None:
        probabilities = _median(probabilities, round(classifier.frames.median_ms / 1000 / classifier.encoder.hop_s))
    return ScoreBlock(start_s, end_s, probabilities)


def _median(probabilities: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Filter each label over time ``(n, L)`` by the median of ``size`` frames, reflected at the ends."""
    if size < 2:
        return probabilities
    before = size // 2
    padded = np.pad(probabilities, ((before, size - 1 - before), (0, 0)), mode="symmetric")
    around = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)  # (n, L, size)
    return np.ascontiguousarray(np.partition(around, size // 2, axis=-1)[..., size // 2])
