"""Lay out a clip in windows, and frames in time. This module loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.frontend import FrontendConfig
from axlstm.model.config import ModelConfig
from axlstm.options import LayoutName, Padding, check_choice

if TYPE_CHECKING:
    from torch import Tensor


class Layout(Protocol):
    """From a clip's un-normalised log-mel to windows, and from tokens back to the clip's frames."""

    def mel_frames(self, samples: int) -> int:
        """Count the frames of log-mel that are used, from the first, in a clip of ``samples``."""

    def encoded_frames(self, samples: int) -> int:
        """Count the frames of log-mel, padding included, that the encoder sees of a clip of ``samples``."""

    def frame_count(self, samples: int) -> int:
        """Count the frame embeddings of a clip of ``samples``."""

    def frames(self, tokens: Tensor) -> Tensor:
        """Turn tokens ``(W, tokens, D)`` into frame embeddings ``(W, T, grid_bands * D)``."""

    def timestamps_ms(self, samples: int) -> Tensor:
        """Return the times of the embeddings: ``(T,)`` float32."""


@dataclass(frozen=True)
class TimeLayout:
    """Frames in the order of time, one for every patch of it, timed at its centre; the default.

    A clip has samples // hop mel frames (the one that the centred STFT adds at the end is left out), is
    normalised over just those, and gets an embedding for every patch of which at least half is real. If ``padded``,
    the encoder sees a whole window at the end, filled up with zeros; if not, a window as short as its sound.
    """

    model: ModelConfig
    frontend: FrontendConfig
    padded: bool = True

    def mel_frames(self, samples: int) -> int:
        return samples // self.frontend.hop_samples

    def encoded_frames(self, samples: int) -> int:
        patches, grid = self.frame_count(samples), self.model.grid_frames
        return ((patches + grid - 1) // grid * grid if self.padded else patches) * self.model.patch_frames

    def frame_count(self, samples: int) -> int:
        patch_frames = self.model.patch_frames
        return max(1, (self.mel_frames(samples) + patch_frames // 2) // patch_frames)

    def frames(self, tokens: Tensor) -> Tensor:
        windows, _, width = tokens.shape
        return tokens.reshape(windows, -1, self.model.grid_bands * width)

    def timestamps_ms(self, samples: int) -> Tensor:
        import torch

        return self._centres_ms(torch.arange(self.frame_count(samples), dtype=torch.float64)).float()

    def array_timestamps_ms(self, samples: int) -> NDArray[np.float32]:
        """Return `timestamps_ms` without torch."""
        return self._centres_ms(np.arange(self.frame_count(samples), dtype=np.float64)).astype(np.float32)

    def _centres_ms(self, patches: Any) -> Any:
        """Turn numbers of patches in time into the times of their centres, in float64."""
        hop_ms = 1000 * self.frontend.hop_samples / self.frontend.sample_rate_hz
        return (patches * self.model.patch_frames + (self.model.patch_frames - 1) / 2) * hop_ms


@dataclass(frozen=True)
class PublishedLayout:
    """The release's layout, its two defects included, for comparison with published numbers.

    Tokens are regrouped as if they were band-major, so that a frame mixes five moments; a clip is padded to
    a multiple of the window, by a whole window if it is one already; times are spread over the clip's length.
    """

    model: ModelConfig
    frontend: FrontendConfig

    def mel_frames(self, samples: int) -> int:
        return 1 + samples // self.frontend.hop_samples

    def _padding(self, samples: int) -> int:
        return self.model.window_frames - self.mel_frames(samples) % self.model.window_frames

    def encoded_frames(self, samples: int) -> int:
        return self.mel_frames(samples) + self._padding(samples)

    def frame_count(self, samples: int) -> int:
        window, grid = self.model.window_frames, self.model.grid_frames
        return self.encoded_frames(samples) // window * grid - int(grid * (self._padding(samples) / window))

    def frames(self, tokens: Tensor) -> Tensor:
        windows, _, width = tokens.shape
        grid = tokens.reshape(windows, self.model.grid_bands, self.model.grid_frames, width)
        return grid.transpose(1, 2).reshape(windows, self.model.grid_frames, -1)

    def timestamps_ms(self, samples: int) -> Tensor:
        import torch

        count = self.frame_count(samples)
        clip_ms = 1000 * samples / self.frontend.sample_rate_hz
        return (torch.arange(count, dtype=torch.float64) * (clip_ms / count)).float()


def make_layout(name: LayoutName, padding: Padding, model: ModelConfig, frontend: FrontendConfig) -> Layout:
    """Make the layout of a name.

    Raises:
        ConfigError: an unknown name.
    """
    check_choice("layout", name, LayoutName)
    return TimeLayout(model, frontend, padding == "window") if name == "time" else PublishedLayout(model, frontend)
