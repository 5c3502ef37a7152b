"""Change a crop's log-mel for training: speed, a random equaliser, another recording, noise.

Speed and equaliser make another sound of the crop, targets included. Noise and another recording are heard by the
student alone: its targets stay those of the crop by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from axlstm.data.config import InputConfig

LogMelArray = NDArray[np.float32]
_PER_DB = math.log(10) / 10  # natural logarithm of power in a decibel
_CURVES = 4  # cosines in a smooth random curve over the bands
_NOISE_SHAPE = 4.0  # of the gamma distribution that the noise's power in one frame and band has
_NOISE_COLOUR_DB = 6.0  # deviation of its mean spectrum


def draw_speed(rng: np.random.Generator, config: InputConfig) -> float:
    """Draw how much faster a crop is played, evenly in its logarithm; 1 for most crops."""
    if rng.random() >= config.speed:
        return 1.0
    low, high = config.speed_range
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def change_speed(crop: LogMelArray, speed: float) -> LogMelArray:
    """Play log-mel ``(frames, bands)`` faster by interpolating frames: ``(about frames / speed, bands)``."""
    if speed == 1:
        return crop
    count = max(1, round(len(crop) / speed))
    places = np.minimum(np.arange(count) * speed, len(crop) - 1)
    before = places.astype(np.int64)
    share = (places - before).astype(np.float32)[:, None]
    after = np.minimum(before + 1, len(crop) - 1)
    out: LogMelArray = crop[before] * (1 - share) + crop[after] * share
    return out


def equalise(crop: LogMelArray, rng: np.random.Generator, config: InputConfig) -> LogMelArray:
    """Change the level of each band by a smooth random curve, in some crops."""
    if rng.random() >= config.equaliser:
        return crop
    return crop + _smooth_curve(rng, crop.shape[1], config.equaliser_db)


def disturb(
    crop: LogMelArray, rng: np.random.Generator, config: InputConfig, other: Callable[[], LogMelArray | None]
) -> LogMelArray:
    """Add another recording, and noise, to some crops ``(frames, bands)``; powers are added.

    Args:
        other: reads a crop of another recording, ``(frames, bands)``; None adds nothing.
    """
    out = crop
    if rng.random() < config.mix:
        below_db = rng.uniform(*config.mix_db)
        added = other()
        out = out if added is None else _add(out, added, crop, below_db)
    if rng.random() < config.noise:
        below_db = rng.uniform(*config.noise_db)
        power = rng.gamma(_NOISE_SHAPE, 1 / _NOISE_SHAPE, crop.shape)
        noise = np.log(power).astype(np.float32) + _smooth_curve(rng, crop.shape[1], _NOISE_COLOUR_DB)
        out = _add(out, noise, crop, below_db)
    return out


def _add(sound: LogMelArray, added: LogMelArray, reference: LogMelArray, below_db: float) -> LogMelArray:
    """Add the powers of two log-mels, the second with its mean so many decibels below the reference's."""
    gain = _log_mean_power(reference) - _log_mean_power(added) - below_db * _PER_DB
    return np.logaddexp(sound, added + np.float32(gain))


def _log_mean_power(logmel: LogMelArray) -> float:
    return float(np.logaddexp.reduce(logmel.astype(np.float64), axis=None)) - math.log(logmel.size)


def _smooth_curve(rng: np.random.Generator, bands: int, deviation_db: float) -> LogMelArray:
    """Draw a curve ``(bands,)`` of a few cosines: mean 0, and on average that deviation, in natural logarithms."""
    steps = (np.arange(bands) + 0.5) / bands * np.pi
    cosines = np.cos(np.arange(1, _CURVES + 1)[:, None] * steps)  # (curves, bands), each of variance 1/2
    curve = rng.standard_normal(_CURVES) @ cosines * math.sqrt(2 / _CURVES)
    return (curve * deviation_db * _PER_DB).astype(np.float32)
