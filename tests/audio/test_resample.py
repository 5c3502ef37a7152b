"""Rates that sound can have, and everything else that people pass for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from axlstm.audio.pcm import PcmFormat
from axlstm.audio.read import load_audio
from axlstm.audio.resample import Resampler
from axlstm.errors import AudioError
from tests.seeded import audio


def of_array(rate: Any) -> None:
    load_audio(audio(0.1, 0), rate)


def of_stream(rate: Any) -> None:
    Resampler(rate, "the stream")


def of_raw_samples(rate: Any) -> None:
    PcmFormat("s16le", rate)


@pytest.mark.parametrize("use", [of_array, of_stream, of_raw_samples])
@pytest.mark.parametrize("rate", ["44100", b"44100", True, np.True_, [16_000], 0, -1, 999, 1_000_001, 1e9, np.nan, 1j])
def test_what_is_no_rate_is_refused_everywhere(use: Any, rate: Any) -> None:
    with pytest.raises(AudioError, match=r"sample_rate=.*: expected a number of Hz from 1000 to 1000000"):
        use(rate)


@pytest.mark.parametrize(("kilohertz", "hertz"), [(44.1, "44100"), (48, "48000"), (np.float32(22.05), "22050")])
def test_kilohertz_are_named(kilohertz: float, hertz: str) -> None:
    with pytest.raises(AudioError, match=rf"; {kilohertz:g} kHz are {hertz}$"):
        of_array(kilohertz)


@pytest.mark.parametrize("rate", [1_000, np.int16(16_000), np.int64(44_100), np.float64(22_050.5), 1_000_000])
def test_numbers_of_any_kind_are_rates(rate: Any) -> None:
    for use in (of_array, of_stream, of_raw_samples):
        use(rate)
