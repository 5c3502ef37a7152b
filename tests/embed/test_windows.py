"""Windows of a recording: every frame in its windows, the numbers of a plain loop, in any blocks."""

from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import axlstm
from axlstm.embed.batching import Embedding, FrameBlock
from axlstm.embed.embedder import Embedder
from axlstm.embed.windows import WindowBlock, Windows, find_spans, pool_windows
from axlstm.errors import AudioError, ConfigError
from axlstm.model.layouts import TimeLayout
from axlstm.model.pooling import pool
from axlstm.options import Pooling
from axlstm.samples import sample_path
from tests.seeded import audio

RATE = 16_000


@pytest.fixture(scope="module")
def small() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)


def joined(blocks: list[WindowBlock]) -> list[NDArray]:
    return [np.concatenate([getattr(block, name) for block in blocks]) for name in ("embeddings", "start_s", "end_s")]


def in_blocks(clip: Embedding, size: int) -> list[FrameBlock]:
    cuts = range(0, len(clip.frames), size)
    return [FrameBlock(clip.frames[c : c + size], clip.timestamps_ms[c : c + size], clip.duration_s) for c in cuts]


def slow_twin(clip: Embedding, window: Fraction, hop: Fraction, pooling: Pooling) -> list[tuple[float, float, NDArray]]:
    """Pool the frames whose centres, 15 ms and each 40 ms after it, lie in a window, in exact numbers."""
    duration, start, rows = Fraction(round(clip.duration_s * RATE), RATE), Fraction(0), []
    while True:
        end = min(start + window, duration)
        inside = [frame for i, frame in enumerate(clip.frames) if start <= Fraction(40 * i + 15, 1000) < end]
        if not inside:  # sound at the end without a frame
            begin, _, _ = rows.pop()
            start = Fraction(str(begin))
            inside = [frame for i, frame in enumerate(clip.frames) if Fraction(40 * i + 15, 1000) >= start]
        rows.append((float(start), float(end), pool(torch.from_numpy(np.stack(inside)), pooling).numpy()))
        if end == duration:
            return rows
        start += hop


@pytest.mark.parametrize("pooling", ["mean", "mean+deviation"])
@pytest.mark.parametrize(
    ("seconds", "window", "hop"),
    [
        (20.0, "5", "2.5"),
        (20.0, "5", "5"),
        (20.01, "5", "5"),  # the last ten milliseconds have no frame
        (20.02, "5", "5"),  # they have one
        (7.3, "0.2", "0.2"),
        (7.3, "3", "0.2"),
        (7.3, "0.7", "0.3"),
        (1.1, "5", "2.5"),
        (0.025, "0.2", "0.2"),
        (70.0, "66", "1.7"),  # longer than a block of the stream
    ],
)
@pytest.mark.usefixtures("one_thread")
def test_windows_hold_what_a_plain_loop_finds(seconds: float, window: str, hop: str, pooling: Pooling) -> None:
    embedder = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2, pooling=pooling)
    wave = audio(seconds, 3)
    embeddings, start_s, end_s = joined(list(embedder.windows(wave, float(window), float(hop), RATE)))
    expected = slow_twin(embedder.embed(wave, RATE), Fraction(window), Fraction(hop), pooling)
    assert list(zip(start_s, end_s, strict=True)) == [row[:2] for row in expected]
    np.testing.assert_allclose(embeddings, np.stack([row[2] for row in expected]), atol=1e-4)
    assert (embeddings.dtype, start_s.dtype, end_s.dtype) == (np.float32, np.float64, np.float64)
    assert embeddings.shape[1] == embedder.scene_embedding_size


@pytest.mark.parametrize("pooling", ["mean", "mean+deviation"])
@pytest.mark.parametrize("chosen", [Windows(5, 2.5), Windows(5, 0.2), Windows(0.2), Windows(30, 0.9), Windows(100)])
def test_numbers_do_not_depend_on_the_blocks(small: Embedder, chosen: Windows, pooling: Pooling) -> None:
    clip = small.embed(audio(41.7, 4), RATE)
    whole = joined(list(pool_windows(in_blocks(clip, 10**6), chosen, small.layout, pooling)))
    for size in (1, 7, 125, 800):
        got = joined(list(pool_windows(in_blocks(clip, size), chosen, small.layout, pooling)))
        for one, other in zip(got, whole, strict=True):
            np.testing.assert_array_equal(one, other)
    for row, start_s, end_s in zip(*whole, strict=True):
        inside = (clip.timestamps_ms >= 1000 * start_s) & (clip.timestamps_ms < 1000 * end_s)
        np.testing.assert_array_equal(row, pool(torch.from_numpy(clip.frames[inside]), pooling).numpy())


@pytest.mark.parametrize("hop_s", [0.2, 0.3, 0.7, 1 / 3])
def test_nothing_drifts_in_three_hours(small: Embedder, hop_s: float) -> None:
    assert isinstance(small.layout, TimeLayout)
    samples = 10_800 * RATE
    spans = list(find_spans(Windows(hop_s), small.layout, samples))
    assert spans[0][::2] == (0, 0)
    assert spans[-1][1::2] == (10_800, small.layout.frame_count(samples))
    assert all(one.stop == two.first and one.end_s == two.start_s for one, two in pairwise(spans))
    assert [span.start_s for span in spans] == [float(k * Fraction(str(hop_s))) for k in range(len(spans))]
    if hop_s == 0.2:
        assert {span.stop - span.first for span in spans} == {5}


def test_every_length_of_a_recording_is_covered(small: Embedder) -> None:
    assert isinstance(small.layout, TimeLayout)
    for samples in [*range(400, 12_000, 37), 3_200, 6_400, 6_401]:
        spans = list(find_spans(Windows(0.25, 0.2), small.layout, samples))
        frames = small.layout.frame_count(samples)
        assert spans[0][::2] == (0, 0)
        assert spans[-1][1::2] == (samples / RATE, frames)
        assert all(0 <= span.first < span.stop <= frames and span.start_s < span.end_s for span in spans)
        assert all(one.end_s >= two.start_s for one, two in pairwise(spans))
        assert all(span.end_s < samples / RATE for span in spans[:-1])


def test_a_recording_shorter_than_a_window_is_one_row(small: Embedder) -> None:
    sound = sample_path("bell")
    (block,) = small.windows(sound, 60)
    clip = small.embed(sound)
    assert (block.start_s.tolist(), block.end_s.tolist()) == ([0.0], [clip.duration_s])
    np.testing.assert_allclose(block.embeddings[0], clip.scene, atol=1e-5)


def test_hop_is_the_window_if_it_is_not_given() -> None:
    assert Windows(5) == Windows(5.0, 5.0) == Windows(np.float32(5), 5)
    assert Windows(5, 2.5).hop_s == 2.5


@pytest.mark.parametrize("value", [0.19, 0, -5, float("nan"), float("inf"), "5", True, None])
def test_lengths_that_make_no_sense_are_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"window_s=.*: expected 0.2 seconds or more"):
        Windows(value)  # type: ignore[arg-type]
    if value is not None:
        with pytest.raises(ConfigError, match=r"hop_s=.*: expected 0.2 seconds or more"):
            Windows(5, value)  # type: ignore[arg-type]


def test_what_no_window_is_defined_for_is_refused_at_once(small: Embedder) -> None:
    with pytest.raises(ConfigError, match=r"hop_s=6 is longer than window_s=5: the sound between two windows"):
        small.windows(audio(1, 0), 5, 6, sample_rate=RATE)
    published = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2, layout="published")
    with pytest.raises(ConfigError, match=r"layout='published'.*layout='time'"):
        published.windows(audio(1, 0), 5, sample_rate=RATE)
    with pytest.raises(AudioError, match="reads the sound twice"):
        small.windows(io.BytesIO(sample_path("bell").read_bytes()), 5)
    coarse = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2, patch_frames=40)
    with pytest.raises(ConfigError, match=r"window_s=0.3: this model has a frame every 0.4 s"):
        coarse.windows(audio(1, 0), 0.3, sample_rate=RATE)


def test_windows_of_a_coarse_model_all_hold_frames() -> None:
    coarse = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2, patch_frames=40)
    assert isinstance(coarse.layout, TimeLayout)
    for samples in range(400, 60_000, 701):
        spans = list(find_spans(Windows(0.4), coarse.layout, samples))
        assert all(span.first < span.stop for span in spans)
        assert spans[-1].end_s == samples / RATE


def test_memory_does_not_grow_with_the_recording(small: Embedder) -> None:
    def peak(minutes: int) -> int:
        def blocks():
            for _ in range(minutes):
                frames = np.zeros((1_500, 64), np.float32)
                yield FrameBlock(frames, np.zeros(1_500, np.float32), 60.0 * minutes)

        tracemalloc.start()
        rows = sum(len(block.start_s) for block in pool_windows(blocks(), Windows(5, 0.2), small.layout, "mean"))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == (60 * minutes - 5) * 5 + 1
        return used

    assert peak(40) < 1.2 * peak(4)
