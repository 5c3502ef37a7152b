"""Any sound in, 16 kHz mono float32 out; everything else is an error that says what is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axlstm.audio.read import file_facts, load_audio, stream_audio
from axlstm.errors import AudioError
from tests.seeded import audio

RATE = 16_000


def encoded(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    stream = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(stream, "w", rate, channels, format=kind, subtype=subtype) as file:
        for start in range(0, len(samples), 16_000):  # libsndfile's vorbis encoder wants small pieces
            file.write(samples[start : start + 16_000])
    return stream.getvalue()


def tone(seconds: float, rate: int, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "subtype", "rate", "tolerance"),
    [
        ("WAV", "PCM_16", 16_000, 1e-4),
        ("WAV", "PCM_U8", 16_000, 1e-2),
        ("WAV", "PCM_24", 44_100, 1e-3),
        ("WAV", "PCM_32", 8_000, 1e-3),
        ("WAV", "FLOAT", 48_000, 1e-3),
        ("WAV", "DOUBLE", 96_000, 1e-3),
        ("FLAC", "PCM_16", 22_050, 1e-3),
        ("OGG", "VORBIS", 44_100, 0.05),
        ("OGG", "OPUS", 48_000, 0.1),
        ("MP3", "MPEG_LAYER_III", 44_100, 0.05),
        ("AIFF", "PCM_16", 32_000, 1e-3),
    ],
)
def test_formats_and_rates_give_the_same_sound(kind: str, subtype: str, rate: int, tolerance: float) -> None:
    out = load_audio(encoded(tone(1.0, rate), rate, kind, subtype))
    assert out.dtype == np.float32
    assert abs(len(out) - RATE) <= 1
    middle = slice(2000, 14_000)
    assert np.abs(out[middle] - tone(1.0, RATE)[: len(out)][middle]).max() < tolerance


def test_sources_are_equal(tmp_path: Path) -> None:
    raw = encoded(audio(1.0, 3), RATE, "WAV", "FLOAT")
    path = tmp_path / "clip.wav"
    path.write_bytes(raw)
    expected = audio(1.0, 3)
    for source in (path, str(path), raw, bytearray(raw), io.BytesIO(raw)):
        np.testing.assert_array_equal(load_audio(source), expected)
    with path.open("rb") as file:
        np.testing.assert_array_equal(load_audio(file), expected)
    np.testing.assert_array_equal(load_audio(expected, RATE), expected)
    np.testing.assert_array_equal(load_audio(torch.from_numpy(expected), RATE), expected)
    np.testing.assert_array_equal(load_audio(expected.astype(np.float64), RATE), expected)


def test_blocks_resample_as_one_piece() -> None:
    long = audio(95.0, 1, 44_100)  # more than three blocks
    out = load_audio(encoded(long, 44_100, "WAV", "FLOAT"))
    np.testing.assert_allclose(out, soxr.resample(long, 44_100, RATE, quality="HQ"), atol=1e-6)


def test_other_rates_on_request(tmp_path: Path) -> None:
    samples = audio(1.0, 1, 44_100)
    soundfile.write(tmp_path / "x.wav", samples, 44_100, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "x.wav", to_hz=44_100), samples, atol=1e-6)
    assert len(load_audio(tmp_path / "x.wav", to_hz=32_000)) == 32_000
    np.testing.assert_array_equal(np.concatenate([*stream_audio(samples, 44_100, 44_100)]), samples)


def test_channels_are_averaged() -> None:
    left, right = audio(0.5, 1), audio(0.5, 2)
    expected = (left + right) / 2
    for stereo in (np.stack([left, right]), np.stack([left, right], axis=1)):
        np.testing.assert_allclose(load_audio(stereo, RATE), expected, atol=1e-7)
    five = np.stack([left] * 4 + [right], axis=1)
    np.testing.assert_allclose(load_audio(encoded(five, RATE, "WAV", "FLOAT")), five.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize(("dtype", "full"), [(np.int16, 2**15), (np.int32, 2**31)])
def test_integer_samples_are_scaled(dtype: type, full: int) -> None:
    samples = np.array([0, full // 2, -full // 2, -full] * 200, dtype=dtype)
    np.testing.assert_array_equal(load_audio(samples, RATE)[:4], np.array([0, 0.5, -0.5, -1], np.float32))


def test_unsigned_bytes_are_centred() -> None:
    np.testing.assert_array_equal(
        load_audio(np.array([128, 192, 0] * 200, dtype=np.uint8), RATE)[:3], np.array([0, 0.5, -1], np.float32)
    )


@given(rate=st.integers(4_000, 200_000), seconds=st.floats(0.05, 0.5))
@settings(max_examples=30, deadline=None)
def test_any_rate_keeps_the_duration(rate: int, seconds: float) -> None:
    samples = tone(seconds, rate, 200.0)
    out = load_audio(samples, rate)
    assert abs(len(out) / RATE - len(samples) / rate) <= 1 / RATE + 1e-9
    assert np.isfinite(out).all()


def test_an_array_needs_its_rate_and_a_file_does_not() -> None:
    with pytest.raises(AudioError, match="without its sample rate"):
        load_audio(audio(0.1, 0))
    with pytest.raises(AudioError, match="leave it out"):
        load_audio(encoded(audio(0.1, 0), RATE, "WAV", "PCM_16"), RATE)


@pytest.mark.parametrize("rate", [0, -1, -44_100, float("nan"), float("inf"), True])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(AudioError, match="sample_rate"):
        load_audio(audio(0.1, 0), rate)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 3, 400), np.float32), r"\(2, 3, 400\)"),
        (np.zeros((), np.float32), r"expected \(samples,\)"),
        (np.zeros((0,), np.float32), "no samples"),
        (np.zeros((2, 0), np.float32), "no samples"),
        (np.zeros((20, 30), np.float32), "cannot tell channels"),
        (np.zeros((2000, 3000), np.float32), "cannot tell channels"),
        (np.zeros(800, np.int64), "int64"),
        (np.zeros(800, bool), "bool"),
        (np.full(800, np.nan, np.float32), "nan"),
        (np.r_[np.zeros(800), np.inf], "inf"),
    ],
)
def test_arrays_that_are_no_sound(samples: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        load_audio(samples, RATE)


def test_things_that_are_no_audio_at_all() -> None:
    with pytest.raises(AudioError, match="list: expected a path"):
        load_audio([0.0] * 800, RATE)  # type: ignore[arg-type]


def test_files_that_are_no_sound(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.wav"):
        load_audio(tmp_path / "absent.wav")
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty\.wav: an empty file"):
        load_audio(tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("this is not a sound" * 100)
    with pytest.raises(AudioError, match=r"text\.wav: not a sound file"):
        load_audio(tmp_path / "text.wav")
    with pytest.raises(AudioError, match="a folder"):
        load_audio(tmp_path)
    (tmp_path / "none.wav").write_bytes(encoded(np.zeros(0, np.float32), RATE, "WAV", "PCM_16"))
    with pytest.raises(AudioError, match=r"none\.wav: holds no samples"):
        load_audio(tmp_path / "none.wav")
    (tmp_path / "nan.wav").write_bytes(encoded(np.full(800, np.nan, np.float32), RATE, "WAV", "FLOAT"))
    with pytest.raises(AudioError, match=r"nan\.wav: holds nan"):
        load_audio(tmp_path / "nan.wav")


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("seconds", [2.0, 40.0])
def test_a_truncated_flac_is_an_error(tmp_path: Path, share: float, seconds: float) -> None:
    raw = encoded(audio(seconds, 0), RATE, "FLAC", "PCM_16")
    path = tmp_path / "cut.flac"
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(AudioError, match=r"cut\.flac: (cut short|damaged)"):
        load_audio(path)


def test_facts_come_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(encoded(np.stack([tone(0.5, 44_100)] * 2, axis=1), 44_100, "FLAC", "PCM_16"))
    facts = file_facts(path)
    assert (facts["duration_s"], facts["sample_rate_hz"], facts["channels"]) == (0.5, 44_100, 2)


def stating(raw: bytes, frames: int) -> bytes:
    """A FLAC file whose header claims another number of frames: 0 is what an encoder writes to a pipe."""
    fields = int.from_bytes(raw[18:26], "big") >> 36 << 36 | frames
    return raw[:18] + fields.to_bytes(8, "big") + raw[26:]


@pytest.mark.parametrize("seconds", [1.0, 70.0])
def test_a_flac_that_does_not_say_how_long_it_is(seconds: float, tmp_path: Path) -> None:
    raw = encoded(audio(seconds, 0), RATE, "FLAC", "PCM_16")
    path = tmp_path / "piped.flac"
    path.write_bytes(stating(raw, 0))
    np.testing.assert_array_equal(load_audio(path), load_audio(raw))
    assert file_facts(path)["duration_s"] == seconds
    path.write_bytes(stating(raw, 0)[: len(raw) // 2])
    with pytest.raises(AudioError, match=r"piped\.flac: damaged"):
        load_audio(path)


@pytest.mark.parametrize("frames", [RATE + 1, 30 * 3600 * RATE, 2**36 - 1])
def test_a_header_that_claims_too_much_is_an_error_and_takes_no_memory(frames: int) -> None:
    raw = stating(encoded(audio(1.0, 0), RATE, "FLAC", "PCM_16"), frames)
    with pytest.raises(AudioError, match=r"the bytes given: cut short: holds 1\.00 s of the"):
        load_audio(raw)


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 2_000_000_000])
def test_a_rate_that_cannot_be_takes_no_memory(rate: int) -> None:
    raw = encoded(tone(1.0, RATE), RATE, "WAV", "PCM_16")
    at = raw.index(b"fmt ") + 12
    with pytest.raises(AudioError, match=rf"{rate} Hz; expected 1000 to 1000000"):
        load_audio(raw[:at] + rate.to_bytes(4, "little") + raw[at + 4 :])
