"""Embed sound without an end, from a microphone, a socket or a pipe, while it comes in."""

from __future__ import annotations

import statistics as numbers
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.audio.arrays import mono_block
from axlstm.audio.logmel import LogMel
from axlstm.audio.resample import Resampler
from axlstm.embed.check import check_frames
from axlstm.embed.long import Statistics
from axlstm.errors import AudioError, ConfigError
from axlstm.model.layouts import TimeLayout
from axlstm.model.pooling import AnyPooling, pool
from axlstm.options import StreamUnit, check_choice

HOP_MS = 1000.0
TIME_CONSTANT_S = 60.0
_TIMED_WINDOWS = 100  # latest windows whose computing time is kept


class TimedEmbedding(NamedTuple):
    """A moment in ms after the stream's first sample, and what it sounds like: ``(F,)`` float32."""

    time_ms: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Latency:
    """The delay of a stream's embeddings behind its sound, in ms.

    first_ms: sound that must come before the first embedding: a window, and all of the delays below but the hop.
    hop_ms: time between two windows: the longest wait of a moment for its window.
    lookahead_ms: sound after a mel frame's centre that the centred STFT needs.
    resampling_ms: sound that the conversion to 16 kHz holds back.
    compute_ms: time that the machine took for a window: median of the latest hundred; None before the first.
    """

    first_ms: float
    hop_ms: float
    lookahead_ms: float
    resampling_ms: float
    compute_ms: float | None

    @property
    def algorithmic_ms(self) -> float:
        """Return the longest time from a moment to its embedding on a machine that takes no time."""
        return self.hop_ms + self.lookahead_ms + self.resampling_ms

    @property
    def keeps_up(self) -> bool | None:
        """Tell whether a window is computed before the next is due; None before the first."""
        return None if self.compute_ms is None else self.compute_ms < self.hop_ms


class EmbeddingStream:
    """Sound in, in blocks of any size, embeddings out as soon as they can be known. Made by `Embedder.stream`.

    Whenever a hop of new sound is complete, the latest window is encoded, and the frames of that hop, which are
    the newest of the window, are given out; the first window gives all of its frames. With a hop of a whole window
    the windows are those of `Embedder.embed`. The normalisation differs, whatever the hop: `embed` knows the clip's
    mean and deviation, and a stream knows those of the sound so far, this window included, of which it forgets the
    older parts (``time_constant_s``). Numbers do not depend on how the sound was cut into blocks.

    Args:
        encode: windows ``(frames, bands)`` to frame embeddings ``(T, F)`` each.
        frontend, layout: of the embedder.
        sample_rate: of the sound to come, in Hz.
        hop_ms: from one window to the next; a multiple of a frame (40 ms) up to a window.
        time_constant_s: after which a mel frame counts 1/e in the normalisation; None lets all count the same.
        each: ``"frame"`` gives an embedding for each 40 ms, timed at its centre, ``"window"`` one for each
            window, of all its frames, timed at the window's centre.
        pooling: of a window's frames to its embedding.

    Raises:
        AudioError: a rate that sound cannot have.
        ConfigError: a hop or time constant out of range.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Tensor]], list[Tensor]],
        frontend: LogMel,
        layout: TimeLayout,
        sample_rate: float,
        *,
        hop_ms: float = HOP_MS,
        time_constant_s: float | None = TIME_CONSTANT_S,
        each: StreamUnit = "frame",
        pooling: AnyPooling = "mean",
    ) -> None:
        check_choice("each", each, StreamUnit)
        if time_constant_s is not None and not time_constant_s > 0:
            raise ConfigError(f"time_constant_s={time_constant_s}: expected seconds above zero, or None for no limit")
        self._encode, self._frontend, self._layout, self._each = encode, frontend, layout, each
        self._pooling = pooling
        self._mel_ms = 1000 * frontend.config.hop_samples / frontend.config.sample_rate_hz
        self._hop = self._hop_frames(hop_ms)
        memory = 1.0 if time_constant_s is None else float(np.exp(-self._mel_ms / (1000 * time_constant_s)))
        self._statistics = Statistics(memory)
        self._resampler = Resampler(sample_rate, "the stream")
        self._rate_hz, self._pushed = sample_rate, 0  # samples pushed so far, at that rate
        self._compute_ms: deque[float] = deque(maxlen=_TIMED_WINDOWS)
        self._blocks: list[NDArray[np.float32]] = []  # samples at 16 kHz that are in no mel frame yet
        self._waiting = 0  # how many
        self._samples = 0  # at 16 kHz, in all
        self._overlap: NDArray[np.float32] | None = None  # the latest samples, which the next mel frames need again
        self._mel = torch.empty(0, layout.model.mel_bands, device=frontend.window.device)  # the latest, up to a window
        self._mel_frames = 0  # in all
        self._given = 0  # frame embeddings computed so far
        self._ended = False

    def _hop_frames(self, hop_ms: float) -> int:
        """Convert a hop to mel frames."""
        model = self._layout.model
        frame_ms, window_ms = model.patch_frames * self._mel_ms, model.window_frames * self._mel_ms
        frames = round(hop_ms / frame_ms) if np.isfinite(hop_ms) else 0
        if not (1 <= frames <= model.grid_frames and abs(frames * frame_ms - hop_ms) < 1e-6):
            raise ConfigError(f"hop_ms={hop_ms:g}: expected a multiple of {frame_ms:g} up to the window, {window_ms:g}")
        return frames * model.patch_frames

    @property
    def latency(self) -> Latency:
        """Tell how far embeddings lie behind the sound, with the computing time measured so far."""
        config = self._frontend.config
        lookahead_ms = 1000 * (config.window_samples // 2) / config.sample_rate_hz
        window_ms = (self._layout.model.window_frames - 1) * self._mel_ms + lookahead_ms
        return Latency(
            first_ms=window_ms + self._resampler.lag_ms,
            hop_ms=self._hop * self._mel_ms,
            lookahead_ms=lookahead_ms,
            resampling_ms=self._resampler.lag_ms,
            compute_ms=numbers.median(self._compute_ms) if self._compute_ms else None,
        )

    def push(self, samples: NDArray[Any] | Tensor) -> list[TimedEmbedding]:
        """Take in the next samples and give the embeddings that they complete: often none, sometimes several.

        Args:
            samples: ``(n,)``, or ``(n, channels)``, whose mean is taken; floating, or int16, int32 or uint8 PCM.

        Raises:
            AudioError: another shape or type, NaN, infinity or a value beyond 2^31 (the block is left out as a whole
                then), an embedding with NaN, or a stream that has ended, as it does with flush and such an embedding.
        """
        if self._ended:
            raise AudioError("the stream has ended, with flush() or an error: make a new one for other sound")
        block = mono_block(samples, self._rate_hz, self._pushed)
        self._pushed += len(block)
        return self._take(self._resampler.convert(block))

    def flush(self) -> list[TimedEmbedding]:
        """End the stream, and give the embeddings of what is left, the last window filled up as `embed` does.

        It gives none if no sound is left, or if less sound came in all than an embedding needs (25 ms).
        """
        if self._ended:
            return []
        given = self._take(self._resampler.finish())
        self._ended = True
        if self._samples < self._frontend.config.least_samples:
            return given
        left = self._layout.frame_count(self._samples) - self._given
        return given + self._last_window(left) if left else given

    def over(self, blocks: Iterable[NDArray[Any] | Tensor]) -> Iterator[TimedEmbedding]:
        """Yield the embeddings of all ``blocks``, one after another as they come, to the end of the stream."""
        for block in blocks:
            yield from self.push(block)
        yield from self.flush()

    def _take(self, block: NDArray[np.float32]) -> list[TimedEmbedding]:
        self._blocks.append(block)
        self._waiting += len(block)
        self._samples += len(block)
        given: list[TimedEmbedding] = []
        if self._waiting < self._needed:
            return given
        waiting, begin = np.concatenate(self._blocks), 0
        while len(waiting) - begin >= self._needed:
            end = begin + self._needed
            given += self._step(waiting[begin:end])
            begin = end
        self._blocks, self._waiting = [waiting[begin:].copy()], len(waiting) - begin
        return given

    @property
    def _needed(self) -> int:
        """Count the samples that complete the next window. Just those are used for it, so that its numbers do not
        depend on what else there is."""
        hop = self._frontend.config.hop_samples
        if self._overlap is not None:
            return self._hop * hop
        return (self._layout.model.window_frames - 1) * hop + self._frontend.config.window_samples // 2

    def _with_edge(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put the past samples that their mel frames need before new ones: at the beginning, a reflection."""
        if self._overlap is not None:
            return np.concatenate([self._overlap, samples])
        edge = self._frontend.config.window_samples // 2
        return np.concatenate([samples[edge:0:-1], samples])

    def _log_mel(self, padded: NDArray[np.float32]) -> Tensor:
        return self._frontend.of_padded(torch.from_numpy(padded)[None].to(self._frontend.window.device))[0]

    def _step(self, samples: NDArray[np.float32]) -> list[TimedEmbedding]:
        """Compute the next window, and return what it gives."""
        begin = time.perf_counter()
        padded = self._with_edge(samples)
        mel = self._log_mel(padded)  # (new mel frames, bands)
        self._overlap = padded[len(mel) * self._frontend.config.hop_samples :]
        self._mel = torch.cat([self._mel, mel])[-self._layout.model.window_frames :]
        self._mel_frames += len(mel)
        self._statistics.add(mel)
        try:
            frames = self._embed(self._mel, self._layout.model.grid_frames)
        except AudioError:
            self._ended = True  # its state is ahead of what it gave
            raise
        given = self._give(frames, len(mel) // self._layout.model.patch_frames)
        self._compute_ms.append(1000 * (time.perf_counter() - begin))
        return given

    def _last_window(self, left: int) -> list[TimedEmbedding]:
        """Give the ``left`` frames of a window that is not complete."""
        model = self._layout.model
        padded = self._with_edge(np.concatenate(self._blocks))
        edge = self._frontend.config.window_samples // 2
        mel = self._log_mel(np.concatenate([padded, padded[-2 : -edge - 2 : -1]]))
        mel = mel[: self._layout.mel_frames(self._samples) - self._mel_frames]
        self._statistics.add(mel)
        begin = max(0, len(self._mel) + self._hop - model.window_frames)
        real = (len(self._mel) - begin) // model.patch_frames + left
        return self._give(self._embed(torch.cat([self._mel[begin:], mel]), real), left)

    def _embed(self, mel: Tensor, patches: int) -> Tensor:
        """Embed log-mel of up to a window: frame embeddings ``(patches, F)``."""
        model = self._layout.model
        length = model.window_frames if self._layout.padded else patches * model.patch_frames
        window = mel.new_zeros(length, model.mel_bands)
        window[: len(mel)] = self._statistics.normalise(mel[:length])
        frames = self._encode([window])[0][:patches]  # (patches, F)
        check_frames(frames[None], f"the stream, {self._samples / self._frontend.config.sample_rate_hz:.3f} s into it")
        return frames

    def _give(self, frames: Tensor, new: int) -> list[TimedEmbedding]:
        """Turn ``frames (T, F)``, of which the last ``new`` were not given yet, into what the stream gives."""
        patch_ms = self._layout.model.patch_frames * self._mel_ms
        centre_ms = (self._layout.model.patch_frames - 1) / 2 * self._mel_ms
        first, self._given = self._given, self._given + new
        if self._each == "window":
            middle = self._given - (len(frames) + 1) / 2
            return [TimedEmbedding(middle * patch_ms + centre_ms, pool(frames, self._pooling).numpy())]
        newest = frames[-new:].numpy().copy()
        return [TimedEmbedding((first + index) * patch_ms + centre_ms, frame) for index, frame in enumerate(newest)]
