"""Sound that is in memory already: arrays and tensors of any layout and type as mono float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import AudioError

MOST_CHANNELS = 64
"""Channels of an array: an axis with more entries is taken for time."""

_FULL_SCALE = {"int16": (2.0**15, 0), "int32": (2.0**31, 0), "uint8": (2.0**7, 128)}


def check_finite(block: NDArray[np.float32], name: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        AudioError: naming the first of them.
    """
    if not np.isfinite(block).all():
        bad = int(np.argmin(np.isfinite(block)))
        raise AudioError(f"{name}: holds {block[bad]} among its samples; expected finite numbers only")


def mono_block(samples: Any) -> NDArray[np.float32]:
    """A piece of sound in memory, ``(n,)`` or ``(n, channels)`` with any n, as mono float32 ``(n,)``.

    Raises:
        AudioError: another shape or type, or NaN or infinity.
    """
    block = as_array(samples)
    if block.ndim not in (1, 2) or (block.ndim == 2 and not 1 <= block.shape[1] <= MOST_CHANNELS):
        raise AudioError(f"a block of shape {block.shape}: expected (samples,) or (samples, channels)")
    floats = _as_floats(block)
    mono = floats if floats.ndim == 1 else floats.mean(axis=1, dtype=np.float32)
    check_finite(mono, "the block")
    return np.ascontiguousarray(mono)


def as_array(source: Any) -> NDArray[Any]:
    """Return an array, or a tensor as an array on the CPU; refuse all else with an `AudioError`."""
    if hasattr(source, "detach"):
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()
    if not isinstance(source, np.ndarray):
        raise AudioError(f"{type(source).__name__}: expected a path, bytes, a file object, a NumPy array or a tensor")
    return source


def to_mono(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Average samples of any shape and type that stand for sound: ``(n,)`` float32.

    Raises:
        AudioError: no samples, or a shape or type that does not stand for sound.
    """
    shape = samples.shape
    if samples.size == 0:
        raise AudioError(f"an array of shape {shape}: holds no samples")
    if samples.ndim not in (1, 2):
        raise AudioError(f"an array of shape {shape}: expected (samples,), (channels, samples) or (samples, channels)")
    axis = None
    if samples.ndim == 2:
        few = [size <= MOST_CHANNELS for size in shape]
        if few[0] == few[1]:
            raise AudioError(f"an array of shape {shape}: cannot tell channels (at most {MOST_CHANNELS}) from samples")
        axis = 0 if few[0] else 1
    floats = _as_floats(samples)
    if axis is not None:
        floats = floats.mean(axis=axis, dtype=np.float32)
    return np.ascontiguousarray(floats)


def _as_floats(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples of any type that stands for sound as float32, PCM scaled to [-1, 1]."""
    if samples.dtype.name in _FULL_SCALE:
        scale, zero = _FULL_SCALE[samples.dtype.name]
        return ((samples.astype(np.float64) - zero) / scale).astype(np.float32)
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32, copy=False)
    raise AudioError(f"samples of type {samples.dtype}: expected floats in [-1, 1], or int16, int32 or uint8 PCM")
