"""The front end gives the published log-mel, on one clip and on many."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.audio.frontend import FrontendConfig
from axlstm.audio.logmel import LogMel, array_twin, mel_filterbank, normalise
from axlstm.errors import AudioError, ConfigError
from tests.seeded import audio

COMPARE = """
import sys
import numpy as np
import torch
from axlstm.audio.logmel import LogMel
from tests.seeded import audio
with np.load(sys.argv[1]) as golden:
    for length in (1.0, 2.0):
        got = LogMel()(torch.from_numpy(audio(length, int(length * 100)))).numpy()
        print(np.abs(got - golden[f"logmel_unnormalised/{length}"]).max())
"""


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the reference FFT (MKL) exists on x86 processors only"
)
def test_equals_the_published_front_end() -> None:
    # The reference was computed with the code that MKL runs on processors without AVX2 dispatch; its faster
    # code rounds differently by up to 1e-4 in the log of quiet bins, so the comparison asks for that one.
    root = Path(__file__).parents[2]
    golden = root / "tests" / "data" / "golden" / "reference.npz"
    result = subprocess.run(
        [sys.executable, "-c", COMPARE, str(golden)],
        env={**os.environ, "MKL_CBWR": "COMPATIBLE"},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert max(map(float, result.stdout.split())) <= 1e-6


@pytest.mark.parametrize("length", [1.0, 2.0])
def test_is_as_near_to_exact_arithmetic_as_the_published_front_end(length: float, golden: dict) -> None:
    wave = torch.from_numpy(audio(length, int(length * 100)))
    exact = slow_logmel(wave.double().numpy())
    floor = np.abs(golden[f"logmel_unnormalised/{length}"] - exact).max()
    assert np.abs(LogMel()(wave).numpy() - exact).max() < max(8 * floor, 1e-5)


@pytest.mark.parametrize("length", [0.1, 2.0, 23.0])
def test_the_twin_without_torch_is_nearer_to_exact_arithmetic(length: float) -> None:
    wave = audio(length, 5)
    exact = slow_logmel(wave.astype(np.float64), LogMel().window.double().numpy())
    twin = array_twin(FrontendConfig())(torch.from_numpy(wave))
    assert np.abs(twin.numpy() - exact).max() < 5e-5
    batch = torch.stack([twin, array_twin(FrontendConfig())(torch.from_numpy(-wave))])
    both = array_twin(FrontendConfig())(torch.from_numpy(np.stack([wave, -wave])))
    np.testing.assert_array_equal(both, batch)


def test_the_twin_leaves_the_threads_of_blas_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.threads.count_cores", lambda: 1)
    wave = audio(60.0, 5)
    array_twin(FrontendConfig())(torch.from_numpy(wave))
    begun, own = time.process_time(), time.thread_time()
    for _ in range(5):
        array_twin(FrontendConfig()).arrays(wave)
    assert time.process_time() - begun < 1.5 * (time.thread_time() - own)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("frames", [1, 2, 255, 256, 257, 600])
def test_the_twin_gives_a_frame_its_numbers_wherever_it_stands(
    frames: int, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axlstm.audio.frontend.count_cores", lambda: cores)
    arrays, wave = array_twin(FrontendConfig()).arrays, audio(8.0, 5)
    alone = np.concatenate([arrays.of_padded(wave[160 * i : 160 * i + 400]) for i in range(frames)])
    np.testing.assert_array_equal(arrays.of_padded(wave[: 160 * (frames - 1) + 400]), alone)


HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)


def slow_logmel(wave: np.ndarray, hann: np.ndarray = HANN) -> np.ndarray:
    """Compute the definition in float64 with the filters of the published float32 bank."""
    padded = np.pad(wave, 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    return np.log(power @ mel_filterbank(FrontendConfig()).double().numpy() + 2.0**-23)


@pytest.mark.parametrize(("samples", "frames"), [(400, 3), (401, 3), (1600, 11), (15_999, 100), (16_000, 101)])
def test_frames_are_one_more_than_hops(samples: int, frames: int) -> None:
    assert LogMel()(torch.zeros(samples)).shape == (frames, 80)


def test_a_batch_gives_what_its_clips_give() -> None:
    clips = torch.stack([torch.from_numpy(audio(1.3, seed)) for seed in range(3)])
    together = LogMel()(clips)
    for clip, expected in zip(clips, together, strict=True):
        torch.testing.assert_close(LogMel()(clip), expected, atol=1e-5, rtol=0)


def test_stays_in_float32_with_a_model_in_half_precision() -> None:
    frontend = LogMel().to(torch.bfloat16)
    wave = torch.from_numpy(audio(0.5, 1))
    assert torch.equal(frontend(wave), LogMel()(wave))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(frontend(wave), LogMel()(wave))


def test_fewer_samples_than_one_window_are_an_error() -> None:
    with pytest.raises(AudioError, match=r"399 samples at 16000 Hz: no embedding is defined below 400 \(25 ms"):
        LogMel()(torch.zeros(399))


def test_normalise_is_zero_mean_and_unit_deviation() -> None:
    logmel = torch.randn(300, 80) * 3 - 7
    for unbiased in (True, False):
        out = normalise(logmel, unbiased=unbiased)
        assert abs(out.double().mean()) < 1e-6
        assert abs(out.double().std(correction=int(unbiased)) - 1) < 1e-6


def test_silence_normalises_to_zeros() -> None:
    assert torch.equal(normalise(LogMel()(torch.zeros(16_000))), torch.zeros(101, 80))


def test_filters_peak_within_the_band_they_are_named_for() -> None:
    bank = mel_filterbank(FrontendConfig())
    assert bank.shape == (201, 80)
    assert (bank >= 0).all()
    assert (bank.max(dim=0).values <= 1).all()
    peaks = bank.argmax(dim=0)
    assert (peaks.diff() >= 0).all()
    assert bank[:1].sum() == 0  # nothing below 50 Hz


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sample_rate_hz": 32_000}, "sample_rate_hz=32000, expected 16000"),
        ({"sample_rate_hz": "x"}, "sample_rate_hz='x', expected int above 0, up to 65536"),
        ({"window_samples": 0}, "window_samples=0, expected int above 0, up to 65536"),
        ({"log_offset": float("nan")}, "log_offset=nan"),
        ({"low_hz": 9000.0}, "bands from 9000 to 8000 Hz"),
    ],
)
def test_settings_that_cannot_be(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FrontendConfig.from_dict(wrong)


def test_a_whole_number_and_a_float_of_the_same_value_are_one_front_end() -> None:
    assert repr(FrontendConfig(low_hz=50, high_hz=8000)) == repr(FrontendConfig())


def test_config_round_trip_and_unknown_key() -> None:
    config = FrontendConfig(mel_bands=64)
    assert FrontendConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="hop_ms"):
        FrontendConfig.from_dict({"hop_ms": 10})
