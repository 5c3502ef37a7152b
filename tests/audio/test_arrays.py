"""Values that no sound has are refused with their time, before any arithmetic overflows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from axlstm.audio.arrays import LOUDEST
from axlstm.audio.read import file_facts, load_audio, stream_audio
from axlstm.errors import AudioError
from tests.seeded import audio

RATE = 16_000
REFUSED = [np.nan, np.inf, -np.inf, 2.2e9, -2.2e9, 1e20, -1e20, 3e38]


def holding(value: float, dtype: type = np.float32, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """A second of sound with one wrong value at 0.75 s, in its last channel: (n, channels)."""
    samples = np.stack([audio(1, seed, rate) for seed in range(channels)], axis=1).astype(dtype)
    samples[rate * 3 // 4, -1] = value
    return samples


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, "DOUBLE" if samples.dtype == np.float64 else "FLOAT", format="WAV")
    return stream.getvalue()


SOURCES: dict[str, Callable[[np.ndarray], tuple]] = {
    "file": lambda samples: (wav(samples),),
    "(n, channels)": lambda samples: (samples, RATE),
    "(channels, n)": lambda samples: (np.ascontiguousarray(samples.T), RATE),
    "tensor": lambda samples: (torch.from_numpy(samples), RATE),
}


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", SOURCES)
def test_the_value_and_its_time_are_told(kind: str, channels: int, value: float) -> None:
    with pytest.raises(AudioError, match=rf": holds {np.float32(value):g} at 0\.750 s; expected ".replace("+", r"\+")):
        load_audio(*SOURCES[kind](holding(value, channels=channels)))


@pytest.mark.parametrize("kind", ["file", "(n, channels)", "(channels, n)"])
@pytest.mark.parametrize("value", [1e39, -1e300])
def test_doubles_beyond_float32_are_told_as_they_are(kind: str, value: float) -> None:
    with pytest.raises(AudioError, match=rf"holds {value:g} at 0\.750 s; expected samples in".replace("+", r"\+")):
        load_audio(*SOURCES[kind](holding(value, np.float64, 2)))


def test_channels_that_cancel_are_refused_too() -> None:
    """The mean of the channels would be silent, or NaN."""
    samples = np.zeros((RATE, 2), np.float32)
    samples[8000] = 3e38, -3e38
    with pytest.raises(AudioError, match=r"holds 3e\+38 at 0\.500 s"):
        load_audio(samples, RATE)
    with pytest.raises(AudioError, match=r"the bytes given: holds 3e\+38 at 0\.500 s"):
        load_audio(wav(samples))


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_the_time_is_that_of_the_file_in_a_later_block(rate: int, tmp_path: Path) -> None:
    samples = audio(70, 1, rate)
    samples[65 * rate] = 1e20
    path = tmp_path / "long.wav"
    soundfile.write(path, samples, rate, "FLOAT")
    with pytest.raises(AudioError, match=r"long\.wav: holds 1e\+20 at 65\.000 s"):
        load_audio(path)
    blocks = stream_audio(path)
    assert np.isfinite(next(blocks)).all()
    with pytest.raises(AudioError, match=r"at 65\.000 s"):
        list(blocks)
    assert file_facts(path)["duration_s"] == 70


@pytest.mark.parametrize("scale", [100, 2.0**15, 2.0**23, LOUDEST / 4])
def test_pcm_that_was_not_scaled_is_only_loud(scale: float) -> None:
    """Floats in the units of integers are common, compute without overflow, and embed as the scaled sound does."""
    samples = audio(1, 1) * np.float32(scale)
    np.testing.assert_array_equal(load_audio(samples, RATE), samples)
    np.testing.assert_array_equal(load_audio(wav(samples)), samples)
    limits = np.array([LOUDEST, -LOUDEST] * 400)
    np.testing.assert_array_equal(load_audio(limits, RATE), limits)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_first_wrong_value_is_told(dtype: type) -> None:
    samples = np.zeros(RATE, dtype)
    samples[[4000, 8000]] = np.nan, np.inf
    with pytest.raises(AudioError, match=r"the array: holds nan at 0\.250 s; expected finite numbers"):
        load_audio(samples, RATE)


def test_a_signalling_nan_is_told_without_a_warning() -> None:
    samples = np.zeros(RATE, np.float32)
    samples.view(np.uint32)[4000] = 0x7F800001
    with pytest.raises(AudioError, match=r"holds nan at 0\.250 s"):
        load_audio(samples, RATE)


@pytest.mark.parametrize("shape", [(9, RATE), (RATE, 9), (64, RATE), (8, 8), (2, 5), (1, 1)])
def test_a_batch_is_not_averaged_as_channels(shape: tuple[int, int]) -> None:
    with pytest.raises(
        AudioError, match=r"cannot tell channels \(at most 8\).* clips of a batch one by one, and the mean"
    ):
        load_audio(np.zeros(shape, np.float32), RATE)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_up_to_eight_channels_lie_on_either_axis(channels: int) -> None:
    sound = np.stack([audio(0.1, seed) for seed in range(channels)])
    for samples in (sound, sound.T):
        np.testing.assert_allclose(load_audio(samples, RATE), sound.mean(axis=0), atol=1e-6)
