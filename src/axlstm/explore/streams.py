"""Score what a microphone hears, as it comes in."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.classifiers.kept import find_kept
from axlstm.errors import ConfigError
from axlstm.explore.places import NoSuchError

if TYPE_CHECKING:
    from axlstm.collection.detections.live import ClassifierStream
    from axlstm.collection.detections.scores import ScoreBlock
    from axlstm.explore.desk import Desk

_MOST_STREAMS = 2
_MOST_SECONDS = 30.0  # of a chunk


@dataclass(frozen=True, eq=False)
class _Open:
    stream: ClassifierStream
    labels: tuple[str, ...]
    thresholds: list[float]
    rate_hz: float


class Streams:
    """Streams that are open; beyond two, the oldest is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}

    def begin(self, desk: Desk, classifier: str, rate_hz: float) -> dict[str, Any]:
        """Begin a stream, and return its id, labels and thresholds.

        Raises:
            ConfigError: no such classifier, or its encoder is not there or does not stream.
            AudioError: a rate that sound cannot have.
        """

        from axlstm.collection.detections.live import ClassifierStream

        def load() -> _Open:
            with desk.collection() as collection:
                loaded = load_classifier(find_kept(collection, classifier))
            stream = ClassifierStream(loaded, rate_hz)
            return _Open(stream, loaded.labels, loaded.thresholds.tolist(), rate_hz)

        opened, number = desk.search(lambda _: load()), secrets.token_urlsafe(12)
        with self._lock:
            self._open[number] = opened
            while len(self._open) > _MOST_STREAMS:
                self._open.pop(next(iter(self._open)))
        return {"stream": number, "labels": list(opened.labels), "thresholds": opened.thresholds}

    def push(self, desk: Desk, number: str, content: bytes, is_last: bool) -> dict[str, Any]:
        """Take in samples, which are float32 and little-endian, and score the windows that they complete.

        Raises:
            NoSuchError: the stream has ended.
            ConfigError: bytes that are no samples, or too many of them.
        """
        with self._lock:
            opened = self._open.pop(number, None) if is_last else self._open.get(number)
        if opened is None:
            raise NoSuchError("no such stream: it has ended, or two others have begun since; begin it again")
        samples = _parse(content, opened.rate_hz)

        def score() -> list[ScoreBlock]:
            blocks = [opened.stream.push(samples)] if len(samples) else []
            return [*blocks, opened.stream.flush()] if is_last else blocks

        blocks = desk.search(lambda _: score())
        return {"windows": [window for block in blocks for window in _describe(block)], "labels": list(opened.labels)}


def _parse(content: bytes, rate_hz: float) -> NDArray[np.float32]:
    if len(content) % 4 or len(content) // 4 > _MOST_SECONDS * rate_hz:
        raise ConfigError(f"{len(content)} bytes: expected float32 samples of at most {_MOST_SECONDS:g} s")
    samples = np.frombuffer(content, "<f4")
    if not np.isfinite(samples).all():
        raise ConfigError("the samples hold NaN or infinity; expected numbers, as float32")
    return samples.astype(np.float32)


def _describe(block: ScoreBlock) -> list[dict[str, Any]]:
    return [
        {"start_s": float(start_s), "end_s": float(end_s), "probabilities": [round(float(one), 5) for one in scores]}
        for start_s, end_s, scores in zip(block.start_s, block.end_s, block.probabilities, strict=True)
    ]
