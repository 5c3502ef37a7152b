"""Make a stretch of a recording playable: as WAV, in a band of frequencies, and slowed down."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from axlstm.collection.stretches import Stretch, encode_sound, read_stretch
from axlstm.errors import AudioError, AxlstmError, ConfigError

MOST_SAMPLES = 16_000_000
"""Of a stretch that is played: five and a half minutes at 48 kHz, forty seconds at 384 kHz."""

SLOWER = (1, 2, 4, 10)
_LEAST_HZ = 8_000  # that every browser plays
_EDGE = 0.02  # of a band, in which it fades, as a share of its frequency
_MOST_KEPT_BYTES = 64 << 20


def make_playable(
    path: Path, start_s: float, end_s: float, low_hz: float | None = None, high_hz: float | None = None, slower: int = 1
) -> bytes:
    """Return a stretch of a sound file as WAV: the mean of its channels, as loud as 16 bits hold.

    Args:
        low_hz, high_hz: a band that is kept; None is an open end.
        slower: 2 takes twice as long and sounds an octave lower, as bat detectors do it.

    Raises:
        AudioError, FileNotFoundError: it cannot be read, or ends before the stretch does.
        ConfigError: a stretch, band or speed that is none.
    """
    if slower not in SLOWER:
        raise ConfigError(f"slower={slower}: expected one of {', '.join(map(str, SLOWER))}")
    if not 0 <= start_s < end_s < 1e9:
        raise ConfigError(f"{start_s:g} to {end_s:g} s: expected 0 or more, and an end behind the start")
    samples, rate_hz = read_stretch(path, Stretch(start_s, end_s), most=MOST_SAMPLES)  # (n,)
    if low_hz is not None or high_hz is not None:
        samples = keep_band(samples, rate_hz, low_hz or 0.0, high_hz)
    plain_hz = rate_hz / slower
    if plain_hz < _LEAST_HZ:
        samples, plain_hz = soxr.resample(samples, plain_hz, _LEAST_HZ), _LEAST_HZ
    if not len(samples):
        raise AudioError(f"{path}: holds no sound from {start_s:g} to {end_s:g} s")
    return encode_sound(samples, round(plain_hz))


def keep_band(samples: NDArray[np.float32], rate_hz: int, low_hz: float, high_hz: float | None) -> NDArray[np.float32]:
    """Keep a band of frequencies of samples ``(n,)``, without a shift of phase.

    Raises:
        ConfigError: a band that is empty, or begins above half of the rate.
    """
    high_hz = rate_hz / 2 if high_hz is None else min(high_hz, rate_hz / 2)
    if not 0 <= low_hz < high_hz:
        raise ConfigError(f"a band from {low_hz:g} to {high_hz:g} Hz: expected one inside 0 to {rate_hz / 2:g}")
    size = 1 << (len(samples) + rate_hz // 10 - 1).bit_length()  # behind it is room for what rings
    spectrum = np.fft.rfft(samples, size)  # (F,)
    hertz = np.fft.rfftfreq(size, 1 / rate_hz)
    gain = np.ones(len(hertz), np.float32)
    if low_hz > 0:
        gain *= np.clip((hertz - low_hz * (1 - _EDGE)) / (low_hz * _EDGE), 0, 1).astype(np.float32)
    if high_hz < rate_hz / 2:
        gain *= np.clip((high_hz * (1 + _EDGE) - hertz) / (high_hz * _EDGE), 0, 1).astype(np.float32)
    kept: NDArray[np.float32] = np.fft.irfft(spectrum * gain, size)[: len(samples)].astype(np.float32)
    return kept


class RangeError(AxlstmError):
    """A range of bytes that a sound does not have."""


class Recent:
    """Keeps what was made last, since players ask for one sound in several pieces."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return what was made for a key, or make it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = make()
        with self._lock:
            self._kept[key] = content
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _MOST_KEPT_BYTES:
                self._kept.popitem(last=False)
        return content


def cut_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes that a Range header asks for, from one up to another; None for all.

    What is no range of bytes, or several, asks for all (RFC 9110, section 14.2).

    Raises:
        RangeError: a range that begins behind the end.
    """
    found = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", header or "")
    if found is None or not any(found.groups()):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    begin, end = int(found[1]), int(found[2]) + 1 if found[2] else size
    if begin >= size:
        raise RangeError(f"{header}: behind the end of {size} bytes")
    return (begin, min(end, size)) if begin < end else None
