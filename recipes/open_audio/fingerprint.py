"""Compute acoustic fingerprints: one 32-bit word every 16 ms that survives codecs, rates and levels.

After J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system", ISMIR 2002: a bit of a word is the sign
of the difference, along frequency and along time, of band energies. What differs, because most recordings here are
shorter than their 3-second blocks: windows of 128 ms, differences over 64 ms of the energies' logarithm above a floor,
and a mark on words that are too quiet, and on bits that are too near to a change of sign, to say anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8_000
HOP_S = 0.016
_WINDOW, _HOP, _LAG = 1024, 128, 4  # samples, samples, hops
_BANDS = 33
_LOWEST_HZ, _HIGHEST_HZ = 150.0, 3_400.0
_FLOOR_DB, _QUIET_DB = -60.0, -40.0  # of band energies and of whole words, under the loudest of the recording
_BLOCK = 4096  # words computed at a time
WEAK_BITS = 4  # of a word, that are tried both ways when it is looked up
_STRONG_BITS = 20  # of a word, that are compared


@dataclass(frozen=True)
class Fingerprint:
    """The words of a recording.

    ``words`` is ``(n,)`` uint32; ``strong`` ``(n,)`` uint32 a mask of the bits of each that are the most certain;
    ``weak`` ``(n, 4)`` uint8 the numbers of those that are the least; ``active`` ``(n,)`` bool where the recording is
    loud enough for its word to count.
    """

    words: NDArray[np.uint32]
    strong: NDArray[np.uint32]
    weak: NDArray[np.uint8]
    active: NDArray[np.bool_]


def fingerprint(samples: NDArray[np.float32]) -> Fingerprint:
    """Compute the fingerprint of samples ``(n,)`` at 8 kHz; that of silence has no active word."""
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]  # (n, window)
    energies = np.concatenate([_band_energies(frames[at : at + _BLOCK]) for at in range(0, len(frames), _BLOCK)])
    loudness = energies.sum(axis=1)  # (n,)
    loudest = float(loudness.max(initial=0.0))
    if loudest <= 1e-10:
        nothing = np.zeros(len(energies), np.uint32)
        weak = np.zeros((len(energies), WEAK_BITS), np.uint8)
        return Fingerprint(nothing, nothing, weak, np.zeros(len(energies), np.bool_))
    floor = loudest / _BANDS * 10 ** (_FLOOR_DB / 10)
    logs = np.log(energies + floor)  # (n, bands)
    slopes = np.diff(logs, axis=1)  # (n, 32)
    before = np.concatenate([np.zeros((_LAG, _BANDS - 1), slopes.dtype), slopes])[: len(slopes)]
    change = slopes - before  # (n, 32)
    words = _packed(change > 0)
    order = np.argsort(np.abs(change), axis=1, kind="stable")  # (n, 32) the least certain bits first
    strong = np.zeros(change.shape, dtype=np.bool_)
    np.put_along_axis(strong, order[:, -_STRONG_BITS:], True, axis=1)
    active = loudness > loudest * 10 ** (_QUIET_DB / 10)
    return Fingerprint(words, _packed(strong), order[:, :WEAK_BITS].astype(np.uint8), active)


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Pack bits ``(n, 32)`` into words ``(n,)``, the first bit lowest."""
    words: NDArray[np.uint32] = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]
    return words


def _band_energies(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum the power of windowed frames ``(n, window)`` in bands of equal logarithmic width, ``(n, bands)``."""
    window, bank = _constants()
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = spectrum.real**2 + spectrum.imag**2  # (n, bins)
    out: NDArray[np.float64] = power @ bank
    return out


@lru_cache(maxsize=1)
def _constants() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the Hann window, and triangles between 34 edges ``(bins, bands)``."""
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    edges = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _BANDS + 2)
    bins = np.fft.rfftfreq(_WINDOW, 1 / RATE_HZ)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return window, np.clip(np.minimum(rising, falling), 0.0, None)
