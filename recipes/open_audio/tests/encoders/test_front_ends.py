"""Windows, resampling and spectrograms of the encoders, against what their authors describe."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recipes.open_audio.tests.encoders.made_files import recipe_module


def test_filters_have_equal_areas_and_stand_where_slaney_put_them() -> None:
    filters = recipe_module("slaney_mel").slaney_filterbank(16_000, 16_000, 40).double()  # bins of 1 Hz
    torch.testing.assert_close(filters.sum(dim=0), torch.ones(40, dtype=torch.float64), rtol=2e-3, atol=0)
    peaks = filters.argmax(dim=0).double()
    below = peaks[peaks < 950]
    # 8 kHz is 15 + 27 log(8) / log(6.4) mels, of which 40 filters make 41 steps, of 200/3 Hz below 1 kHz.
    step = (15 + 27 * math.log(8) / math.log(6.4)) / 41 * 200 / 3
    expected = step * torch.arange(1, len(below) + 1, dtype=torch.float64)
    torch.testing.assert_close(below, expected, rtol=0, atol=0.51)
    above = peaks[peaks > 1100]
    ratios = above[1:] / above[:-1]
    expected_ratio = 6.4 ** (step / (200 / 3) / 27)
    torch.testing.assert_close(ratios, torch.full_like(ratios, expected_ratio), rtol=1e-3, atol=0)


def test_the_mel_spectrogram_is_the_formula() -> None:
    module = recipe_module("slaney_mel")
    audio = np.random.default_rng(0).standard_normal(1000)
    found = module.MelPower(16_000, 64, 40, 8)(torch.from_numpy(audio).float()[None])[0].numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    padded = np.concatenate([np.zeros(32), audio, np.zeros(32)])
    powers = [np.abs(np.fft.rfft(padded[i * 40 : i * 40 + 64] * window)) ** 2 for i in range(26)]
    filters = module.slaney_filterbank(16_000, 64, 8).double().numpy()
    np.testing.assert_allclose(found, np.array(powers) @ filters, rtol=1e-4, atol=1e-5)


@given(length=st.integers(1, 2000), window=st.integers(1, 300))
def test_windows_cover_a_clip_and_stay_inside(length: int, window: int) -> None:
    starts = recipe_module("clip_windows").covering_starts(length, window)
    assert starts[0] == 0
    assert all(0 < later - earlier <= window for earlier, later in pairwise(starts))
    assert starts[-1] + window == max(length, window)


@pytest.mark.parametrize(
    ("seconds", "starts"),
    # a window every 0.77 s; the last one only if three quarters of its 1.6 s are there
    [(0.5, [0]), (1.6, [0]), (1.9, [0]), (2.0, [0, 77]), (3.0, [0, 77, 154]), (2.6, [0, 77]), (2.75, [0, 77, 154])],
)
def test_voice_windows_are_those_of_embed_utterance(seconds: float, starts: list[int]) -> None:
    assert recipe_module("resemblyzer").scene_starts(round(16_000 * seconds)) == starts


def test_quiet_voices_are_raised_and_others_left() -> None:
    raised = recipe_module("resemblyzer").raise_volume
    tone = torch.sin(torch.arange(16_000) / 5.0)
    clips = torch.stack([0.001 * tone, 0.5 * tone, torch.zeros(16_000)])
    found = raised(clips)
    torch.testing.assert_close(20 * found[0].square().mean().sqrt().log10(), torch.tensor(-30.0), rtol=0, atol=1e-3)
    torch.testing.assert_close(found[1:], clips[1:], rtol=0, atol=0)
