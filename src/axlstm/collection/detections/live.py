"""Score the windows of sound without an end, while it comes in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.heard import score_windows
from axlstm.collection.detections.scores import ScoreBlock
from axlstm.collection.encoders import EmbedderWindows
from axlstm.collection.parts import to_float16
from axlstm.embed.live import TIME_CONSTANT_S, EmbeddingStream, Latency
from axlstm.embed.windows import Span, check_windows, find_spans, full_span
from axlstm.errors import ConfigError
from axlstm.model.pooling import pool


class ClassifierStream:
    """Takes in sound in blocks of any size, and gives the probabilities of windows as soon as they are complete.

    Windows begin where those of a file do. Their frames are normalised with the sound so far, and a file's with all of
    it, so the probabilities differ (docs/detections.md).

    Args:
        sample_rate: of the sound to come, in Hz.
        hop_ms: from one window of the encoder to the next; None is a whole one, whose frames are most like a file's.
        time_constant_s: see `axlstm.embed.live.EmbeddingStream`.
        model: where the classifier's encoder is now, if it is not where it was when the classifier was trained.
        options: of the encoder, such as ``device``.

    Raises:
        AudioError: a rate that sound cannot have.
        ConfigError: an encoder that is not there or cannot stream, or a hop or time constant out of range.
    """

    def __init__(
        self,
        classifier: Classifier,
        sample_rate: float,
        *,
        hop_ms: float | None = None,
        time_constant_s: float | None = TIME_CONSTANT_S,
        model: str | None = None,
        **options: Any,
    ) -> None:
        if classifier.frames is not None or classifier.mode == "regression":
            raise ConfigError(
                "only what tells labels of windows streams: this classifier tells "
                + ("events of single frames" if classifier.frames is not None else "a number of each clip")
            )
        encoder = classifier.load_encoder(model=model, **options)
        if not isinstance(encoder, EmbedderWindows):
            raise ConfigError(
                f"the classifier's encoder is {classifier.encoder.source}, which does not stream: only axlstm's own "
                "models do"
            )
        self._classifier, self._rate_hz = classifier, sample_rate
        self._windows, self._pooling = encoder.windows, encoder.embedder.pooling
        self._layout = layout = check_windows(encoder.windows, encoder.embedder.layout)
        frame_ms = 1000 * layout.model.patch_frames * layout.frontend.hop_samples / layout.frontend.sample_rate_hz
        hop_ms = layout.model.grid_frames * frame_ms if hop_ms is None else hop_ms
        self._stream: EmbeddingStream = encoder.embedder.stream(
            sample_rate, hop_ms=hop_ms, time_constant_s=time_constant_s
        )
        self._pushed = 0  # samples so far
        self._frames: list[NDArray[np.float32]] = []  # those from number `begin` on, (F,) each
        self._begin = self._next = 0  # number of the first frame that is held, and of the window that comes next

    @property
    def latency(self) -> Latency:
        """Tell how far the encoder's windows lie behind the sound; those of the classifier end with one of them."""
        return self._stream.latency

    def push(self, samples: NDArray[Any] | Tensor) -> ScoreBlock:
        """Take in the next samples, and return the windows that they complete: often none.

        Args:
            samples: as `EmbeddingStream.push` takes them.

        Raises:
            AudioError: as there, or a window whose probabilities are no numbers.
        """
        self._frames += [frame for _, frame in self._stream.push(samples)]
        self._pushed += len(samples)
        ready = []
        while (span := full_span(self._windows, self._layout, self._next)).stop <= self._begin + len(self._frames):
            if span.end_s * self._rate_hz > self._pushed:
                break
            ready.append(span)
            self._next += 1
        return self._score(ready)

    def flush(self) -> ScoreBlock:
        """End the stream, and return the windows that are left, the last of which ends with the sound.

        Raises:
            AudioError: as `push`.
        """
        self._frames += [frame for _, frame in self._stream.flush()]
        if not self._begin + len(self._frames):
            return self._score([])
        samples = round(self._pushed * self._layout.frontend.sample_rate_hz / self._rate_hz)
        left = list(find_spans(self._windows, self._layout, samples))[self._next :]
        self._next += len(left)
        return self._score(left)

    def over(self, blocks: Iterable[NDArray[Any] | Tensor]) -> Iterator[ScoreBlock]:
        """Yield the windows of all ``blocks``, as they come, to the end of the stream."""
        for block in blocks:
            yield self.push(block)
        yield self.flush()

    def _score(self, spans: list[Span]) -> ScoreBlock:
        labels = len(self._classifier.labels)
        if not spans:
            return ScoreBlock(np.empty(0), np.empty(0), np.empty((0, labels), np.float32))
        held = torch.from_numpy(np.stack(self._frames))  # (t, F)
        rows = [pool(held[span.first - self._begin : span.stop - self._begin], self._pooling) for span in spans]
        vectors = to_float16(torch.stack(rows).numpy(), "the stream")
        start_s, end_s = (np.array(bounds) for bounds in zip(*(span[:2] for span in spans), strict=True))
        first = min(full_span(self._windows, self._layout, self._next).first, self._begin + len(self._frames))
        self._frames, self._begin = self._frames[first - self._begin :], first
        return score_windows(self._classifier, vectors, start_s, end_s, "the stream")
