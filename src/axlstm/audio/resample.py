"""Resample to 16 kHz by soxr (quality HQ), block by block."""

from __future__ import annotations

from numbers import Real

import numpy as np
import soxr
from numpy.typing import NDArray

from axlstm.errors import AudioError

SAMPLE_RATE_HZ = 16_000
SLOWEST_HZ, FASTEST_HZ = 1_000, 1_000_000
"""Rates that sound can have; a header that claims another one is not believed."""


class Resampler:
    """Converts mono blocks of any sizes from one rate to 16 kHz.

    Args:
        rate_hz: sample rate of the blocks.
        name: name of the sound in messages.

    Raises:
        AudioError: the rate cannot be converted.
    """

    def __init__(self, rate_hz: float, name: str) -> None:
        check_rate(rate_hz)
        self._stream = None if rate_hz == SAMPLE_RATE_HZ else open_resampler(rate_hz, name)
        self.lag_ms = 0.0 if self._stream is None else _longest_lag_ms(rate_hz, name)
        """The most sound that has gone in but not come out yet."""

    def convert(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the samples at 16 kHz that ``block (n,)`` completes; block sizes do not change their values."""
        # A copy: soxr may return a view of its own buffer, and the block belongs to the caller.
        return np.array(block if self._stream is None else self._stream.resample_chunk(block))

    def finish(self) -> NDArray[np.float32]:
        """Return the remaining samples after the last block."""
        empty = np.empty(0, dtype=np.float32)
        return empty if self._stream is None else np.array(self._stream.resample_chunk(empty, last=True))


def _longest_lag_ms(rate_hz: float, name: str) -> float:
    """Measure with silence how much soxr holds back; it has no property for that."""
    stream = open_resampler(rate_hz, name)
    came, lag_ms = 0, 0.0
    step = np.zeros(max(1, round(rate_hz / 1000)), dtype=np.float32)
    for count in range(1, 501):  # ms; soxr gives something every few tens of them
        lag_ms = max(lag_ms, 1000 * (count * len(step) / rate_hz - came / SAMPLE_RATE_HZ))
        came += len(stream.resample_chunk(step))
    return lag_ms


def open_resampler(rate_hz: float, name: str, to_hz: float = SAMPLE_RATE_HZ) -> soxr.ResampleStream:
    """Open soxr's converter of one channel from ``rate_hz`` to ``to_hz``.

    Raises:
        AudioError: soxr does not convert the rate.
    """
    try:
        return soxr.ResampleStream(rate_hz, to_hz, 1, dtype="float32", quality="HQ")
    except (RuntimeError, ValueError) as error:
        raise AudioError(f"{name}: cannot convert {rate_hz} Hz to {to_hz} Hz ({error})") from error


def check_rate(sample_rate: float) -> None:
    """Refuse what is no number, a boolean included, or no rate that sound can have, with an `AudioError`."""
    is_number = isinstance(sample_rate, Real) and not isinstance(sample_rate, bool)
    if is_number and SLOWEST_HZ <= sample_rate <= FASTEST_HZ:
        return
    kilohertz = is_number and SLOWEST_HZ <= 1000 * sample_rate < 1000 * SLOWEST_HZ
    hint = f"; {sample_rate:g} kHz are {1000 * sample_rate:g}" if kilohertz else ""
    raise AudioError(f"sample_rate={sample_rate!r}: expected a number of Hz from {SLOWEST_HZ} to {FASTEST_HZ}{hint}")
