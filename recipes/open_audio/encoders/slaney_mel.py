"""Compute the mel spectrogram of librosa's defaults, which musicnn and Resemblyzer were trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_CORNER_HZ = 1000.0  # where the scale turns from linear to logarithmic
_CORNER_MEL = _CORNER_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def slaney_filterbank(sample_rate_hz: int, fft_samples: int, bands: int) -> Tensor:
    """Make triangular filters of equal area up to half the rate: ``(fft_samples // 2 + 1, bands)``, float32.

    The mel scale and the areas are those of Slaney, *Auditory Toolbox* (Interval Research 1998-010). The scale is
    linear below 1 kHz and logarithmic above. A filter from a to b Hz peaks at 2 / (b - a).
    """
    bins_hz = torch.linspace(0, sample_rate_hz / 2, fft_samples // 2 + 1, dtype=torch.float64)  # (F,)
    top = _CORNER_MEL + math.log(sample_rate_hz / 2 / _CORNER_HZ) / _LOG_STEP
    mels = torch.linspace(0, top, bands + 2, dtype=torch.float64)  # (M + 2,)
    above = _CORNER_HZ * torch.exp(_LOG_STEP * (mels - _CORNER_MEL))
    edges_hz = torch.where(mels < _CORNER_MEL, _LINEAR_HZ_PER_MEL * mels, above)  # (M + 2,)
    low, peak, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]  # (M,)
    rising = (bins_hz[:, None] - low) / (peak - low)  # (F, M)
    falling = (high - bins_hz[:, None]) / (high - peak)  # (F, M)
    return (torch.minimum(rising, falling).clamp_min(0.0) * (2.0 / (high - low))).float()


class MelPower(nn.Module):
    """Mel power spectrogram of ``(B, n)``, ``(B, 1 + n // hop, bands)``; frame i is centred on sample ``i * hop``.

    The window is a periodic Hann window as long as the FFT; clips are padded with silence.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate_hz: int, fft_samples: int, hop_samples: int, bands: int) -> None:
        super().__init__()
        self.hop_samples = hop_samples
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)
        self.register_buffer("filters", slaney_filterbank(sample_rate_hz, fft_samples, bands), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        size = len(self.window)
        padded = F.pad(audio, (size // 2, size // 2))
        spectrum = torch.stft(
            padded, size, self.hop_samples, window=self.window, center=False, return_complex=True
        )  # (B, F, frames)
        return spectrum.abs().square().transpose(1, 2) @ self.filters  # (B, frames, bands)
