"""Any rate to 16 kHz, by soxr (HQ), all at once or block by block."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from axlstm.errors import AudioError

SAMPLE_RATE_HZ = 16_000


class Resampler:
    """Mono blocks of any sizes at one rate, converted to 16 kHz.

    Args:
        rate_hz: of the blocks.
        name: of the sound, for messages.

    Raises:
        AudioError: a rate that cannot be converted.
    """

    def __init__(self, rate_hz: float, name: str) -> None:
        check_rate(rate_hz)
        self._stream = None if rate_hz == SAMPLE_RATE_HZ else open_resampler(rate_hz, name)
        self.lag_ms = 0.0 if self._stream is None else _longest_lag_ms(rate_hz, name)
        """Sound that has gone in but not come out yet, at most."""

    def convert(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """The samples at 16 kHz that ``block (n,)`` completes; their values do not depend on the blocks' sizes."""
        # soxr may give a view of a buffer of its own, or the block itself belong to the caller.
        return np.array(block if self._stream is None else self._stream.resample_chunk(block))

    def finish(self) -> NDArray[np.float32]:
        """What has not come out yet."""
        empty = np.empty(0, dtype=np.float32)
        return empty if self._stream is None else np.array(self._stream.resample_chunk(empty, last=True))


def _longest_lag_ms(rate_hz: float, name: str) -> float:
    """Measured with silence: no property of soxr's tells how much it holds back."""
    stream = open_resampler(rate_hz, name)
    came, lag_ms = 0, 0.0
    step = np.zeros(max(1, round(rate_hz / 1000)), dtype=np.float32)
    for count in range(1, 501):  # ms; soxr gives something every few tens of them
        lag_ms = max(lag_ms, 1000 * (count * len(step) / rate_hz - came / SAMPLE_RATE_HZ))
        came += len(stream.resample_chunk(step))
    return lag_ms


def open_resampler(rate_hz: float, name: str) -> soxr.ResampleStream:
    """soxr's converter of one channel from ``rate_hz`` to 16 kHz.

    Raises:
        AudioError: a rate that soxr does not convert.
    """
    try:
        return soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    except (RuntimeError, ValueError) as error:
        raise AudioError(f"{name}: cannot convert {rate_hz} Hz to {SAMPLE_RATE_HZ} Hz ({error})") from error


def check_rate(sample_rate: float) -> None:
    """Refuse what is no rate in Hz, with an `AudioError`."""
    if isinstance(sample_rate, bool) or not np.isfinite(sample_rate) or sample_rate <= 0:
        raise AudioError(f"sample_rate={sample_rate!r}: expected a rate in Hz above zero")
