"""Compute the log-mel spectrogram that the published models were trained on."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import axlstm.vector_math
from axlstm.audio.frontend import ArrayLogMel, FrontendConfig


def mel_filterbank(config: FrontendConfig) -> Tensor:
    """Compute triangular filters on the HTK mel scale, each of peak 1: ``(window_samples // 2 + 1, mel_bands)``.

    The mel scale is 2595 log10(1 + f/700) (Young et al., The HTK Book). The filters are computed in float32 as for the
    published models; in float64 the logarithm would differ by 1e-4.
    """
    bins_hz = torch.linspace(0, config.sample_rate_hz // 2, config.window_samples // 2 + 1)  # (F,)
    low, high = (
        2595.0 * torch.log10(torch.tensor(1.0 + hz / 700.0, dtype=torch.float64))
        for hz in (config.low_hz, config.high_hz)
    )
    mels = torch.linspace(float(low), float(high), config.mel_bands + 2)  # (M + 2,)
    edges_hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)  # (M + 2,)
    widths = edges_hz[1:] - edges_hz[:-1]  # (M + 1,)
    slopes = edges_hz.unsqueeze(0) - bins_hz.unsqueeze(1)  # (F, M + 2)
    rising = -slopes[:, :-2] / widths[:-1]  # (F, M)
    falling = slopes[:, 2:] / widths[1:]  # (F, M)
    return torch.minimum(rising, falling).clamp_min(0.0)


class LogMel(nn.Module):
    """Turns waveforms ``(..., n)`` into log-mel spectrograms ``(..., 1 + n // hop, bands)`` without normalisation.

    The STFT is centred with reflected edges, so frame i is centred on sample ``i * hop_samples``. Computation is in
    float32, whatever the model's precision.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: FrontendConfig | None = None) -> None:
        super().__init__()
        self.config = config or FrontendConfig()
        self.register_buffer("window", torch.hann_window(self.config.window_samples), persistent=False)
        self.register_buffer("filters", mel_filterbank(self.config), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> LogMel:
        # The buffers follow the model to another device, but never to another precision.
        super()._apply(fn, recurse)
        self.window = torch.hann_window(self.config.window_samples, device=self.window.device)
        self.filters = mel_filterbank(self.config).to(self.filters.device)
        return self

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the log-mel of ``waveform (..., n)`` in [-1, 1]: ``(..., frames, bands)``, float32, natural log.

        Raises:
            AudioError: there are fewer samples than one STFT window has.
        """
        samples = waveform.shape[-1]
        self.config.check_length(samples)
        edge = self.config.window_samples // 2
        flat = waveform.reshape(-1, 1, samples).float()  # (N, 1, n)
        padded = F.pad(flat, (edge, edge), mode="reflect").squeeze(1)  # (N, n + window)
        logmel = self.of_padded(padded)  # (N, frames, bands)
        return logmel.reshape(*waveform.shape[:-1], *logmel.shape[-2:])

    def of_padded(self, padded: Tensor) -> Tensor:
        """Compute the log-mel of padded samples: ``(N, n)`` to ``(N, 1 + (n - window) // hop, bands)``."""
        with torch.autocast(padded.device.type, enabled=False):
            spectrum = torch.stft(
                padded.float(),
                n_fft=self.config.window_samples,
                hop_length=self.config.hop_samples,
                window=self.window,
                center=False,
                return_complex=True,
            )  # (N, F, frames)
            power = spectrum.abs().square()  # (N, F, frames)
            mel = power.transpose(-1, -2) @ self.filters  # (N, frames, bands)
            return torch.log(mel + self.config.log_offset)


class ArrayTwin(LogMel):
    """`axlstm.audio.frontend.ArrayLogMel` in the place of a `LogMel` on the CPU.

    Embeddings are then the same in every engine but for its own rounding, and whether torch is loaded or not.
    """

    def __init__(self, config: FrontendConfig) -> None:
        super().__init__(config)
        self.arrays = ArrayLogMel(config, self.filters.numpy())

    def of_padded(self, padded: Tensor) -> Tensor:
        """Compute the log-mel of padded samples: ``(N, n)`` to ``(N, 1 + (n - window) // hop, bands)``."""
        return torch.stack([torch.from_numpy(self.arrays.of_padded(one)) for one in padded.float().numpy()])


@lru_cache(maxsize=4)
def array_twin(config: FrontendConfig) -> ArrayTwin:
    """Return the `ArrayTwin` of a front end."""
    return ArrayTwin(config)


def normalise(logmel: Tensor, *, unbiased: bool = True) -> Tensor:
    """Normalise one clip ``(frames, bands)`` to zero mean and unit deviation over all frames and bands.

    The statistics are computed in float64, so that a clip of constant level gives exact zeros. Inference divides by
    the unbiased deviation, and training by the population's. Both add 1e-8.
    """
    values = in_float64(logmel)
    mean = values.mean()
    deviation = values.std(correction=1 if unbiased else 0)
    return ((values - mean) / (deviation + 1e-8)).to(logmel)


def in_float64(values: Tensor) -> Tensor:
    """Convert to float64 on the same device, or on the CPU if the device has no float64 (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()
