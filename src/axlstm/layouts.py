"""How a clip's log-mel becomes windows, and how their tokens become frames in time: two layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.errors import ConfigError
from axlstm.frontend import FrontendConfig, normalise
from axlstm.model.config import ModelConfig

LayoutName = Literal["time", "published"]
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)


class Layout(Protocol):
    """From a clip's un-normalised log-mel to windows, and from tokens back to the clip's frames."""

    def frame_count(self, samples: int) -> int:
        """Embeddings that a clip of ``samples`` gets."""

    def windows(self, logmel: Tensor, samples: int) -> Tensor:
        """Log-mel ``(1 + samples // hop, bands)`` to normalised, padded windows ``(W, frames, bands)``."""

    def frames(self, tokens: Tensor) -> Tensor:
        """Tokens ``(W, tokens, D)`` to frame embeddings ``(W, grid_frames, grid_bands * D)``."""

    def timestamps_ms(self, samples: int) -> Tensor:
        """Times of the embeddings: ``(T,)`` float32."""


@dataclass(frozen=True)
class TimeLayout:
    """Frames in the order of time, one for every patch of it, timed at its centre; the default.

    A clip has samples // hop mel frames (the one that the centred STFT adds at the end is left out), is
    normalised over just those, and gets an embedding for every patch of which at least half is real.
    """

    model: ModelConfig
    frontend: FrontendConfig

    def frame_count(self, samples: int) -> int:
        mel_frames = samples // self.frontend.hop_samples
        return max(1, (mel_frames + self.model.patch_frames // 2) // self.model.patch_frames)

    def windows(self, logmel: Tensor, samples: int) -> Tensor:
        mel = normalise(logmel[: samples // self.frontend.hop_samples])  # (frames, bands)
        count = -(-self.frame_count(samples) // self.model.grid_frames)
        return _cut(mel, count, self.model)

    def frames(self, tokens: Tensor) -> Tensor:
        windows, _, width = tokens.shape
        return tokens.reshape(windows, self.model.grid_frames, self.model.grid_bands * width)

    def timestamps_ms(self, samples: int) -> Tensor:
        hop_ms = 1000 * self.frontend.hop_samples / self.frontend.sample_rate_hz
        first = torch.arange(self.frame_count(samples), dtype=torch.float64) * self.model.patch_frames
        return ((first + (self.model.patch_frames - 1) / 2) * hop_ms).float()


@dataclass(frozen=True)
class PublishedLayout:
    """What the release computes, its two defects included, for comparison with published numbers.

    Tokens are regrouped as if they were band-major, so that a frame mixes five moments; a clip is padded to
    a multiple of the window, by a whole window if it is one already; times are spread over the clip's length.
    """

    model: ModelConfig
    frontend: FrontendConfig

    def _padding(self, samples: int) -> int:
        mel_frames = 1 + samples // self.frontend.hop_samples
        return self.model.window_frames - mel_frames % self.model.window_frames

    def _window_count(self, samples: int) -> int:
        return (1 + samples // self.frontend.hop_samples + self._padding(samples)) // self.model.window_frames

    def frame_count(self, samples: int) -> int:
        grid = self.model.grid_frames
        dropped = int(grid * (self._padding(samples) / self.model.window_frames))
        return self._window_count(samples) * grid - dropped

    def windows(self, logmel: Tensor, samples: int) -> Tensor:
        return _cut(normalise(logmel), self._window_count(samples), self.model)

    def frames(self, tokens: Tensor) -> Tensor:
        windows, _, width = tokens.shape
        grid = tokens.reshape(windows, self.model.grid_bands, self.model.grid_frames, width)
        return grid.transpose(1, 2).reshape(windows, self.model.grid_frames, -1)

    def timestamps_ms(self, samples: int) -> Tensor:
        count = self.frame_count(samples)
        clip_ms = 1000 * samples / self.frontend.sample_rate_hz
        return (torch.arange(count, dtype=torch.float64) * (clip_ms / count)).float()


def _cut(mel: Tensor, windows: int, config: ModelConfig) -> Tensor:
    """Normalised frames ``(frames, bands)`` cut or zero-padded to ``(windows, window_frames, bands)``."""
    wanted = windows * config.window_frames
    padded = F.pad(mel[:wanted], (0, 0, 0, max(0, wanted - len(mel))))
    return padded.reshape(windows, config.window_frames, config.mel_bands)


def make_layout(name: str, model: ModelConfig, frontend: FrontendConfig) -> Layout:
    """The layout of that name.

    Raises:
        ConfigError: an unknown name.
    """
    if name == "time":
        return TimeLayout(model, frontend)
    if name == "published":
        return PublishedLayout(model, frontend)
    raise ConfigError(f"layout={name!r}: expected one of {', '.join(LAYOUTS)}")
