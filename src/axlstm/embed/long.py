"""Compute the log-mel of sounds longer than memory, its statistics and its windows, block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.audio.logmel import LogMel, in_float64
from axlstm.audio.open import source_name
from axlstm.audio.read import Audio, stream_audio
from axlstm.embed.batching import FrameBlock
from axlstm.embed.check import check_frames
from axlstm.errors import AudioError
from axlstm.files import is_pipe
from axlstm.model.config import ModelConfig
from axlstm.model.layouts import Layout
from axlstm.threads import one_core_threads

_WINDOWS_PER_BLOCK = 32  # 64 s
_MOST_KEPT_FRAMES = 120_000  # of log-mel between the two passes: twenty minutes, 38 MB


@dataclass
class Statistics:
    """Count, mean and sum of squared deviations of numbers that come in pieces (Chan, Golub & LeVeque 1979).

    With a ``memory`` below 1, a frame counts that much less for each frame after it: exponential statistics, whose
    count is the sum of the weights.
    """

    memory: float = 1.0
    count: float = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, frames: Tensor) -> None:
        """Take in a piece ``(frames, bands)``, in the order of time."""
        if frames.numel() == 0:
            return
        wide = in_float64(frames)
        age = torch.arange(len(wide) - 1, -1, -1, dtype=torch.float64, device=wide.device)
        weights = (self.memory**age).unsqueeze(-1).expand_as(wide)  # (frames, bands)
        count = float(weights.sum())
        mean = float((weights * wide).sum()) / count
        squares = float((weights * (wide - mean).square()).sum())
        faded = self.memory ** len(wide)
        self.count *= faded
        self.squares *= faded
        total = self.count + count
        shift = mean - self.mean
        self.squares += squares + shift * shift * self.count * count / total
        self.mean += shift * count / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Return the standard deviation, unbiased where all frames count the same."""
        return float((self.squares / max(self.count - 1, 1)) ** 0.5)

    def normalise(self, frames: Tensor) -> Tensor:
        """Subtract the mean from frames ``(frames, bands)``, and divide by the deviation: float32."""
        return ((in_float64(frames) - self.mean) / (self.deviation + 1e-8)).to(frames)


def stream_logmel(blocks: Iterator[NDArray[np.float32]], frontend: LogMel) -> Iterator[Tensor]:
    """Yield the frames that `LogMel` gives for all samples at once, in pieces ``(frames, bands)``.

    Raises:
        AudioError: fewer samples than one STFT window.
    """
    window, hop = frontend.config.window_samples, frontend.config.hop_samples
    edge = window // 2
    waiting = torch.empty(0)  # samples that frames to come still need
    begun = False
    samples = 0
    for block in blocks:
        samples += len(block)
        waiting = torch.cat([waiting, torch.from_numpy(block)])
        if not begun and len(waiting) > window:
            waiting = torch.cat([waiting[1 : edge + 1].flip(0), waiting])
            begun = True
        if begun:
            frames = (len(waiting) - window) // hop + 1
            if frames > 0:
                yield frontend.of_padded(waiting[None, : (frames - 1) * hop + window].to(frontend.window.device))[0]
                waiting = waiting[frames * hop :]
    if not begun:
        yield frontend(waiting.to(frontend.window.device))
        return
    waiting = torch.cat([waiting, waiting[-edge - 1 : -1].flip(0)])
    if len(waiting) >= window:
        yield frontend.of_padded(waiting[None].to(frontend.window.device))[0]


@dataclass(frozen=True)
class Measured:
    """The findings of the first pass over a sound.

    pieces: its log-mel, if that is short enough to be kept for the second pass; None if the sound is read again.
    """

    statistics: Statistics
    samples: int
    pieces: list[Tensor] | None


def measure(blocks: Iterator[NDArray[np.float32]], frontend: LogMel, layout: Layout) -> Measured:
    """Measure the statistics that a clip is normalised with, and its number of samples."""
    samples = 0
    pieces: list[Tensor] | None = []

    def counted() -> Iterator[NDArray[np.float32]]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield block

    statistics = Statistics()
    frames = 0
    held: Tensor | None = None  # the last frame so far: only the end of the sound tells whether it counts
    for piece in stream_logmel(counted(), frontend):
        if held is not None:
            statistics.add(held)
        statistics.add(piece[:-1])
        held = piece[-1:]
        frames += len(piece)
        if frames > _MOST_KEPT_FRAMES:
            pieces = None
        if pieces is not None:
            pieces.append(piece)
    if held is not None and layout.mel_frames(samples) == frames:
        statistics.add(held)
    return Measured(statistics, samples, pieces)


def stream_windows(
    pieces: Iterator[Tensor], layout: Layout, config: ModelConfig, statistics: Statistics, samples: int
) -> Iterator[Sequence[Tensor]]:
    """Yield the windows of `axlstm.model.frame_encoder.cut_windows`, in groups.

    Args:
        pieces: the log-mel, as `stream_logmel` gives it.
    """
    group = _WINDOWS_PER_BLOCK * config.window_frames
    left = layout.mel_frames(samples)
    encoded = layout.encoded_frames(samples)  # of those that are left
    waiting = torch.empty(0, config.mel_bands)
    for piece in pieces:
        waiting = waiting.to(piece.device)
        counting = piece[:left]
        left -= len(counting)
        waiting = torch.cat([waiting, statistics.normalise(counting)])
        while len(waiting) >= group and encoded:
            ready = waiting[:group][:encoded]
            encoded -= len(ready)
            yield ready.split(config.window_frames)
            waiting = waiting[group:]
    if encoded:
        padded = waiting.new_zeros(encoded, config.mel_bands)
        padded[: len(waiting)] = waiting[:encoded]
        yield padded.split(config.window_frames)


def stream_frames(
    encode: Callable[[Sequence[Tensor]], list[Tensor]],
    frontend: LogMel,
    layout: Layout,
    config: ModelConfig,
    x: Audio,
    sample_rate: int | None,
) -> Iterator[FrameBlock]:
    """Yield the frames of a sound that is read twice, if it is long; see `Embedder.embed_stream`."""
    if isinstance(x, (str, os.PathLike)) and is_pipe(Path(x)):
        raise AudioError(f"{x}: a pipe, which can be read only once, and this reads twice: use embed, or save it first")
    with one_core_threads(1) as background:
        first = background.submit(measure, stream_audio(x, sample_rate), frontend, layout).result()
        samples = first.samples
        frames, times_ms = layout.frame_count(samples), layout.timestamps_ms(samples)
        kept = None if first.pieces is None else iter(first.pieces)
        pieces = kept or stream_logmel(stream_audio(x, sample_rate), frontend)
        source = stream_windows(pieces, layout, config, first.statistics, samples)
        done, duration_s = 0, samples / frontend.config.sample_rate_hz
        following = background.submit(next, source, None)  # the next windows, while the encoder computes
        while (windows := following.result()) is not None:
            following = background.submit(next, source, None)
            block = torch.cat(encode(windows))[: frames - done]  # (t, F)
            check_frames(block[None], source_name(x))
            if len(block):
                yield FrameBlock(block.numpy(), times_ms[done : done + len(block)].numpy(), duration_s)
            done += len(block)
