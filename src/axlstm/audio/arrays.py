"""Convert sound that is in memory already, arrays and tensors of any layout and type, to mono float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import AudioError

MOST_CHANNELS = 64
"""Channels of blocks ``(samples, channels)``, whose axes are known."""

_MOST_UNTOLD_CHANNELS = 8  # of an array whose axes are guessed: 7.1 surround has 8, and more rows are often a batch

LOUDEST = 2.0**31
"""The largest magnitude of a sample. PCM of 32 bits that was not scaled to [-1, 1] reaches it. The log-mel overflows
from about 1e18 on."""

_FULL_SCALE = {"int16": (2.0**15, 0), "int32": (2.0**31, 0), "uint8": (2.0**7, 128)}


def check_values(samples: Any, name: str, rate_hz: float, first: int = 0) -> None:
    """Refuse NaN, infinity and values beyond `LOUDEST` in floats ``(n,)`` or ``(n, C)``, an array or a tensor.

    Args:
        first: the place of ``samples[0]`` in the sound, in samples.

    Raises:
        AudioError: with the first of these values and its time.
    """
    if len(samples) == 0 or max(-float(samples.min()), float(samples.max())) <= LOUDEST:  # false for NaN
        return
    by_time = as_array(samples).reshape(len(samples), -1)  # (n, C)
    with np.errstate(invalid="ignore"):  # a signalling NaN, as damaged files hold, would warn
        refused = ~(np.abs(by_time).astype(np.float64) <= LOUDEST)  # float16 has no such limit
    at = int(refused.any(axis=1).argmax())
    value = float(by_time[at][refused[at]][0])
    expected = f"samples in [-1, 1], at most up to {LOUDEST:.0f} (PCM that was not scaled)"
    if not np.isfinite(value):
        expected = "finite numbers"
    raise AudioError(f"{name}: holds {value:g} at {(first + at) / rate_hz:.3f} s; expected {expected}")


def check_clips(waveforms: Any, rate_hz: float) -> None:
    """Check the values of clips ``(B, n)`` as `check_values`, and name the first clip that is refused."""
    if waveforms.shape[1] and not max(-float(waveforms.min()), float(waveforms.max())) <= LOUDEST:
        for index, waveform in enumerate(waveforms):
            check_values(waveform, f"clip {index}", rate_hz)


def mean_channel(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Average channels: ``(n, C)`` to ``(n,)`` float32. Adding one by one takes a fifth of the time of numpy's mean."""
    samples = samples.astype(np.float32, copy=False)
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        mean += samples[:, channel]
    mean /= np.float32(samples.shape[1])
    return mean


def mono_block(samples: Any, rate_hz: float, first: int) -> NDArray[np.float32]:
    """Turn a piece of a stream, ``(n,)`` or ``(n, channels)`` with any n, into mono float32 ``(n,)``.

    Args:
        first: the place of ``samples[0]`` in the stream, in samples.

    Raises:
        AudioError: another shape or type, or values that `check_values` refuses.
    """
    block = as_array(samples)
    if block.ndim not in (1, 2) or (block.ndim == 2 and not 1 <= block.shape[1] <= MOST_CHANNELS):
        raise AudioError(f"a block of shape {block.shape}: expected (samples,) or (samples, channels)")
    floats = _as_floats(block, "the block", rate_hz, first)
    return np.ascontiguousarray(floats if floats.ndim == 1 else mean_channel(floats))


def as_array(source: Any) -> NDArray[Any]:
    """Return an array, or a tensor as an array on the CPU; refuse all else with an `AudioError`."""
    if hasattr(source, "detach"):
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()
    if not isinstance(source, np.ndarray):
        raise AudioError(f"{type(source).__name__}: expected a path, bytes, a file object, a NumPy array or a tensor")
    return source


def to_mono(samples: NDArray[Any], rate_hz: float) -> NDArray[np.float32]:
    """Average samples of any shape and type that stand for sound: ``(n,)`` float32.

    Raises:
        AudioError: no samples, a shape or type that does not stand for sound, or values that `check_values` refuses.
    """
    shape = samples.shape
    if samples.size == 0:
        raise AudioError(f"an array of shape {shape}: holds no samples")
    if samples.ndim not in (1, 2):
        raise AudioError(f"an array of shape {shape}: expected (samples,), (channels, samples) or (samples, channels)")
    if samples.ndim == 2:
        few = [size <= _MOST_UNTOLD_CHANNELS for size in shape]
        if few[0] == few[1]:
            raise AudioError(
                f"an array of shape {shape}: cannot tell channels (at most {_MOST_UNTOLD_CHANNELS}) from samples; pass "
                "the clips of a batch one by one, and the mean of more channels"
            )
        samples = samples.T if few[0] else samples  # (n, C)
    floats = _as_floats(samples, "the array", rate_hz)
    return np.ascontiguousarray(floats if floats.ndim == 1 else mean_channel(floats))


def _as_floats(samples: NDArray[Any], name: str, rate_hz: float, first: int = 0) -> NDArray[np.float32]:
    """Convert samples ``(n, ...)`` of any type that stands for sound to float32, PCM scaled to [-1, 1]."""
    if samples.dtype.name in _FULL_SCALE:
        scale, zero = _FULL_SCALE[samples.dtype.name]
        return ((samples.astype(np.float64) - zero) / scale).astype(np.float32)
    if np.issubdtype(samples.dtype, np.floating):
        check_values(samples, name, rate_hz, first)
        return samples.astype(np.float32, copy=False)
    raise AudioError(f"samples of type {samples.dtype}: expected floats in [-1, 1], or int16, int32 or uint8 PCM")
