"""Turn a clip's log-mel into windows, and windows into frames in time: layouts, and the encoder between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.audio.logmel import FrontendConfig, normalise
from axlstm.model.config import ModelConfig
from axlstm.model.encoder import Encoder
from axlstm.options import LayoutName, Padding, check_choice

Encode = Callable[[Tensor], Tensor]
"""Windows of one length ``(N, frames, bands)`` to frame embeddings ``(N, T, F)``, float32."""


class FrameEncoder(nn.Module):
    """Turn normalised windows into frame embeddings: what an embedder and every engine computes.

    Args:
        encoder: shared, not copied.
        layout: how tokens become frames in the order of time.
        layers: hidden states, from 0 to depth, put side by side in each frame; None takes the last layer's
            normalised output.
    """

    def __init__(self, encoder: Encoder, layout: Layout, layers: Sequence[int] | None = None) -> None:
        super().__init__()
        self.config, self.encoder, self.layout, self.layers = encoder.config, encoder, layout, layers

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision of the encoder."""
        return self.encoder.norm.weight.dtype

    @torch.no_grad()
    def prepare(self) -> Encode:
        """Return a function of the present weights, for many batches and any thread. Later changes do not reach it."""
        prepared = self.encoder.prepare(self.dtype)

        @torch.no_grad()
        def encode(windows: Tensor) -> Tensor:
            windows = windows.to(self.dtype)
            # The weights are prepared for one dtype, and a caller's autocast does not reach the threads of a batch.
            with torch.autocast(windows.device.type, enabled=False):
                if self.layers is None:
                    states = [self.encoder(windows, prepared=prepared)]
                else:
                    states = self.encoder.hidden_states(windows, self.layers, prepared)
                return self.frames(states).float()

        return encode

    def frames(self, states: Sequence[Tensor]) -> Tensor:
        """Turn tokens of each layer, ``(N, tokens, D)``, into frames ``(N, T, F)``."""
        return torch.cat([self.layout.frames(state) for state in states], dim=-1)

    def forward(self, windows: Tensor) -> Tensor:
        """Compute frame embeddings of one batch ``(N, frames, bands)``: ``(N, T, F)``, float32."""
        return self.prepare()(windows)


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
        hop_ms = 1000 * self.frontend.hop_samples / self.frontend.sample_rate_hz
        first = torch.arange(self.frame_count(samples), dtype=torch.float64) * self.model.patch_frames
        return ((first + (self.model.patch_frames - 1) / 2) * hop_ms).float()


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
        count = self.frame_count(samples)
        clip_ms = 1000 * samples / self.frontend.sample_rate_hz
        return (torch.arange(count, dtype=torch.float64) * (clip_ms / count)).float()


def cut_windows(layout: Layout, logmel: Tensor, samples: int, config: ModelConfig) -> Sequence[Tensor]:
    """Cut log-mel ``(1 + samples // hop, bands)`` into normalised windows ``(window_frames, bands)``.

    The last may be shorter. What it lacks of the layout's length is padded with zeros, after normalisation.
    """
    mel = normalise(logmel[: layout.mel_frames(samples)])  # (frames, bands)
    wanted = layout.encoded_frames(samples)
    return F.pad(mel[:wanted], (0, 0, 0, max(0, wanted - len(mel)))).split(config.window_frames)


def make_layout(name: LayoutName, padding: Padding, model: ModelConfig, frontend: FrontendConfig) -> Layout:
    """Make the layout of a name.

    Raises:
        ConfigError: an unknown name.
    """
    check_choice("layout", name, LayoutName)
    return TimeLayout(model, frontend, padding == "window") if name == "time" else PublishedLayout(model, frontend)
