"""Long sounds in bounded memory: the numbers of the whole clip."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

import axlstm
from axlstm.audio.logmel import LogMel
from axlstm.audio.read import load_audio, stream_audio
from axlstm.embed.embedder import Embedder
from axlstm.embed.long import Statistics, stream_logmel
from axlstm.errors import AudioError
from axlstm.samples import sample_path
from tests.seeded import audio

RATE = 16_000


def pieces(wave: np.ndarray, size: int):
    return (wave[start : start + size] for start in range(0, len(wave), size))


@pytest.mark.parametrize("samples", [400, 401, 559, 560, 16_000, 16_161, 100_003])
@pytest.mark.parametrize("size", [97, 400, 5_000, 200_000])
def test_streamed_log_mel_is_that_of_the_whole(samples: int, size: int) -> None:
    wave = audio(samples / RATE, 2)
    streamed = torch.cat(list(stream_logmel(pieces(wave, size), LogMel())))
    torch.testing.assert_close(streamed, LogMel()(torch.from_numpy(wave)), atol=1e-5, rtol=0)


def test_statistics_of_pieces_are_those_of_the_whole() -> None:
    values = torch.randn(2_000, 5, dtype=torch.float64) * 3 - 500
    statistics = Statistics()
    for piece in values.split(777):
        statistics.add(piece)
    statistics.add(values[:0])
    assert statistics.mean == pytest.approx(float(values.mean()), rel=1e-12)
    assert statistics.deviation == pytest.approx(float(values.std()), rel=1e-10)


@pytest.mark.parametrize("layout", ["time", "published"])
@pytest.mark.parametrize("seconds", [0.025, 0.1, 1.99, 2.0, 2.01, 63.97, 64.0, 64.3, 130.0])
def test_streamed_frames_are_those_of_embed(seconds: float, layout: str) -> None:
    embedder = axlstm.create_model("axlstm-tiny", depth=2, width=32, heads=2, layout=layout)
    wave = audio(seconds, 1)
    expected = embedder.embed(wave, RATE)
    blocks = list(embedder.embed_stream(wave, RATE))
    np.testing.assert_allclose(np.concatenate([b.frames for b in blocks]), expected.frames, atol=2e-4)
    np.testing.assert_array_equal(np.concatenate([b.timestamps_ms for b in blocks]), expected.timestamps_ms)
    assert all(len(block.frames) <= 1600 for block in blocks)


@pytest.fixture(scope="module")
def small() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)


def test_files_and_bytes_stream(small: Embedder) -> None:
    path = sample_path("piano_C4")  # stereo, 48 kHz
    expected = small.embed(path).frames
    for source in (path, path.read_bytes()):
        frames = np.concatenate([block.frames for block in small.embed_stream(source)])
        np.testing.assert_allclose(frames, expected, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate(list(stream_audio(path))), load_audio(path))


def test_what_cannot_be_streamed_says_why(small: Embedder) -> None:
    with pytest.raises(AudioError, match="reads the sound twice"):
        next(small.embed_stream(io.BytesIO(sample_path("bell").read_bytes())))
    with pytest.raises(AudioError, match="399 samples"):
        next(small.embed_stream(audio(1, 0)[:399], RATE))
    with pytest.raises(AudioError, match="without its sample rate"):
        next(small.embed_stream(audio(1, 0)))


def test_memory_does_not_grow_with_the_file(small: Embedder, tmp_path) -> None:
    def peak(minutes: int) -> int:
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", RATE, 1) as file:
            for seed in range(minutes):
                file.write(audio(60, seed))
        tracemalloc.start()
        count = sum(len(block.frames) for block in small.embed_stream(path))
        used = tracemalloc.get_traced_memory()[1]  # NumPy's arrays: the sound; torch's are blocks of fixed size
        tracemalloc.stop()
        assert count == minutes * 1500
        return used

    assert peak(12) < 1.3 * peak(3)
