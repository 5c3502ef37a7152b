"""The weights and the audio that the reference outputs in tests/data/golden were made with."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray


def seeded(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The value of the published parameter ``name``: normal numbers seeded by the name, scaled by its role."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), 7])
    noise = rng.standard_normal(shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    if name.endswith("fgate.bias"):
        value = np.linspace(3, 6, shape[0]) + 0.1 * noise
    elif name.endswith("learnable_skip"):
        value = 1 + 0.1 * noise
    elif name in ("pos_embed", "cls_token", "mask_token"):
        value = 0.3 * noise
    elif len(shape) == 1:
        plain_norm = name == "encoder_norm.weight" or name.endswith((".norm1.weight", ".norm2.weight"))
        value = 1 + 0.1 * noise if plain_norm else 0.1 * noise
    elif name.endswith(("igate.weight", "fgate.weight")):
        value = noise * 0.3 / np.sqrt(fan_in)
    else:
        value = noise / np.sqrt(fan_in)
    return value.astype(np.float32)


def audio(seconds: float, seed: int, rate_hz: int = 16_000) -> NDArray[np.float32]:
    """Six sweeps with a slow tremolo each, a little noise, peak 0.8: ``(round(seconds * rate),)``."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate_hz)
    time_s = np.arange(samples) / rate_hz
    out = np.zeros(samples)
    for _ in range(6):
        start_hz, end_hz = rng.uniform(60, 6000, 2)
        level = rng.uniform(0.05, 0.3)
        sweep = 2 * np.pi * (start_hz * time_s + (end_hz - start_hz) * time_s * time_s / (2 * max(seconds, 0.1)))
        tremolo = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.5, 6) * time_s + rng.uniform(0, 6))
        out += level * np.sin(sweep) * tremolo
    out += 0.02 * rng.standard_normal(samples)
    return (out / np.abs(out).max() * 0.8).astype(np.float32)
