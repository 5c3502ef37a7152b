"""Describe the front end of the models, and compute it with NumPy where torch is not loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.bounds import MOST_FRONT_END
from axlstm.errors import AudioError, ConfigError, name_some
from axlstm.threads import count_cores, on_all_cores

_FRAMES_AT_ONCE = 256  # 2.6 s: what lies between samples and bands stays in the cache
_FRAMES_OF_PRODUCT = 8  # BLAS takes threads of its own for more, whatever a worker was told


@dataclass(frozen=True, kw_only=True)
class FrontendConfig:
    """Settings of the log-mel spectrogram; the defaults are the published ones."""

    sample_rate_hz: int = 16_000
    window_samples: int = 400  # 25 ms, periodic Hann, and the FFT's length
    hop_samples: int = 160  # 10 ms
    mel_bands: int = 80
    low_hz: float = 50.0
    high_hz: float = 8000.0
    log_offset: float = 2.0**-23

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = (int,) if field.type == "int" else (int, float)
            if type(value) not in kinds or not 0 < value <= MOST_FRONT_END:
                raise ConfigError(
                    f"front end: {field.name}={value!r:.60}, expected {field.type} above 0, up to {MOST_FRONT_END}"
                )
            if field.type == "float":  # 50 and 50.0 are one front end, with one fingerprint
                object.__setattr__(self, field.name, float(value))
        if self.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ConfigError(f"front end: sample_rate_hz={self.sample_rate_hz}, expected {SAMPLE_RATE_HZ}")
        if not self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise ConfigError(
                f"front end: bands from {self.low_hz:g} to {self.high_hz:g} Hz, expected a range up to half the rate"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "the front end") -> FrontendConfig:
        """Invert `to_dict`.

        Raises:
            ConfigError: a key is unknown or a value impossible; the message names ``where`` and the key.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: expected an object, not {values!r:.60}")
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"{where} has unknown keys: {name_some(key[:80] for key in unknown)}")
        return cls(**values)

    @property
    def least_samples(self) -> int:
        """Return the least number of samples with a spectrogram: one STFT window."""
        return self.window_samples

    def check_length(self, samples: int) -> None:
        """Refuse fewer samples than one STFT window.

        Raises:
            AudioError: there are fewer; the message gives the least number.
        """
        if samples < self.least_samples:
            raise AudioError(
                f"{samples} samples at {self.sample_rate_hz} Hz: no embedding is defined below "
                f"{self.least_samples} ({1000 * self.least_samples / self.sample_rate_hz:g} ms); "
                "pad the clip with silence or drop it"
            )


class ArrayLogMel:
    """The twin of `axlstm.audio.logmel.LogMel` without torch.

    It transforms in float64, which is as fast here, and comes nearer to the exact logarithms than torch does: quiet
    bands of a loud frame differ by up to 5e-4, the others by 1e-5. The window is rounded as torch rounds it.

    Args:
        filters: those of `axlstm.audio.logmel.mel_filterbank`, ``(window_samples // 2 + 1, mel_bands)``.
    """

    def __init__(self, config: FrontendConfig, filters: NDArray[np.float32]) -> None:
        self.config, self.filters = config, filters
        turns = np.arange(config.window_samples, dtype=np.float32) * np.float32(2 * np.pi / config.window_samples)
        cosines = np.cos(turns.astype(np.float64)).astype(np.float32)
        self._hann = (cosines * np.float32(-0.5) + np.float32(0.5)).astype(np.float64)  # (window,)

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the log-mel of ``(n,)``: ``(1 + n // hop, bands)``.

        Raises:
            AudioError: there are fewer samples than one STFT window has.
        """
        self.config.check_length(len(waveform))
        return self.of_padded(np.pad(waveform, self.config.window_samples // 2, mode="reflect"))

    def of_padded(self, padded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the log-mel of padded samples: ``(n,)`` to ``(1 + (n - window) // hop, bands)``."""
        cut = sliding_window_view(padded, self.config.window_samples)[:: self.config.hop_samples]  # (frames, window)
        logmel = np.empty((len(cut), self.config.mel_bands), np.float32)
        runs = min(count_cores(), -(-len(cut) // _FRAMES_AT_ONCE))
        on_all_cores(self._fill, zip(np.array_split(logmel, runs), np.array_split(cut, runs), strict=True))
        return logmel

    def _fill(self, run: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        """Write the log-mel ``(n, bands)`` of frames ``(n, window)`` where it belongs."""
        logmel, frames = run
        rows = min(_FRAMES_AT_ONCE, -(-len(frames) // _FRAMES_OF_PRODUCT) * _FRAMES_OF_PRODUCT)
        windowed = np.empty((rows, frames.shape[1]))
        power = np.zeros((rows, len(self.filters)), np.float32)
        for begin in range(0, len(frames), _FRAMES_AT_ONCE):
            count = len(piece := frames[begin : begin + _FRAMES_AT_ONCE])
            spectrum = np.fft.rfft(np.multiply(piece, self._hann, out=windowed[:count]))  # (frames, bins)
            squares = spectrum.view(np.float64)
            np.square(squares, out=squares)
            np.add(squares[:, 0::2], squares[:, 1::2], out=power[:count], casting="same_kind")
            groups = power.reshape(-1, _FRAMES_OF_PRODUCT, power.shape[1])
            bands = np.matmul(groups, self.filters).reshape(len(power), -1)[:count]
            bands += np.float32(self.config.log_offset)
            np.log(bands, out=logmel[begin : begin + count])


def normalise_array(logmel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise one clip as `axlstm.audio.logmel.normalise` does, without torch."""
    apart = logmel.astype(np.float64)  # (frames, bands)
    apart -= apart.mean()
    apart /= np.sqrt(np.einsum("tk,tk->", apart, apart) / (apart.size - 1)) + 1e-8
    return apart.astype(np.float32)
