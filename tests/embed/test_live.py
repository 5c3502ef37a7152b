"""Endless sound: the frames of embed but for the normalisation, however the sound is cut, when they are promised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import axlstm
from axlstm.audio.read import load_audio
from axlstm.embed.embedder import Embedder
from axlstm.embed.live import TimedEmbedding
from axlstm.embed.long import Statistics
from axlstm.errors import AudioError, ConfigError
from axlstm.samples import sample_path
from tests.seeded import audio

RATE = 16_000
OPTIONS = {"depth": 2, "width": 16, "heads": 2}


@pytest.fixture(scope="module")
def small() -> Embedder:
    return axlstm.create_model("axlstm-tiny", **OPTIONS)


def cut(wave: np.ndarray, sizes: list[int]):
    """``wave`` in pieces of ``sizes``, again and again."""
    begin, index = 0, 0
    while begin < len(wave):
        yield wave[begin : begin + sizes[index % len(sizes)]]
        begin += sizes[index % len(sizes)]
        index += 1


def assert_equal(got: list[TimedEmbedding], expected: list[TimedEmbedding]) -> None:
    assert [one.time_ms for one in got] == [one.time_ms for one in expected]
    np.testing.assert_array_equal([one.embedding for one in got], [one.embedding for one in expected])


WAVES = {rate: audio(4.3, 1, rate) for rate in (16_000, 44_100)}


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.one_of(st.integers(1, 50), st.integers(100, 40_000)), min_size=1, max_size=5),
    rate=st.sampled_from(sorted(WAVES)),
    hop_ms=st.sampled_from([400, 1000, 2000]),
)
def test_blocks_of_any_sizes_give_the_same(small: Embedder, sizes: list[int], rate: int, hop_ms: int) -> None:
    whole = list(small.stream(rate, hop_ms=hop_ms).over([WAVES[rate]]))
    assert_equal(list(small.stream(rate, hop_ms=hop_ms).over(cut(WAVES[rate], sizes))), whole)
    assert len(whole) == 108


def test_a_sample_at_a_time(small: Embedder) -> None:
    wave = WAVES[16_000][:40_000]
    assert_equal(list(small.stream(RATE).over(cut(wave, [1]))), list(small.stream(RATE).over([wave])))


@pytest.mark.parametrize("seconds", [0.025, 0.03, 0.7, 1.99, 2.0, 2.0025, 2.02, 2.03, 3.99, 4.0, 5.31, 8.0])
def test_frames_are_those_of_embed_with_its_statistics(
    small: Embedder, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    wave = audio(seconds, 3)
    expected = small.embed(wave, RATE)
    mel = small.logmel(torch.from_numpy(wave))[: max(1, len(wave) // 160)]
    of_clip = Statistics()
    of_clip.add(mel)
    stream = small.stream(RATE, hop_ms=2000)
    monkeypatch.setattr(stream, "_statistics", of_clip)
    monkeypatch.setattr(of_clip, "add", lambda _: None)
    given_ = list(stream.over([wave]))
    np.testing.assert_allclose([one.embedding for one in given_], expected.frames, atol=1e-4)
    np.testing.assert_allclose([one.time_ms for one in given_], expected.timestamps_ms)


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_single_window_is_that_of_embed(small: Embedder, seconds: float) -> None:
    wave = audio(seconds, 4)
    given_ = list(small.stream(RATE, time_constant_s=None).over([wave]))
    np.testing.assert_allclose([one.embedding for one in given_], small.embed(wave, RATE).frames, atol=1e-4)


@pytest.mark.parametrize("hop_ms", [40, 120, 1000, 2000])
def test_every_moment_gets_one_frame_as_soon_as_promised(small: Embedder, hop_ms: int) -> None:
    stream = small.stream(RATE, hop_ms=hop_ms)
    latency = stream.latency
    assert (latency.compute_ms, latency.keeps_up) == (None, None)
    assert latency.algorithmic_ms == hop_ms + 12.5
    times: list[float] = []
    lags: list[float] = []
    step = 40  # samples: 2.5 ms
    for count, block in enumerate(cut(audio(4.5, 5), [step]), 1):
        new = [one.time_ms for one in stream.push(block)]
        now_ms = 1000 * count * step / RATE
        if new and not times:
            assert now_ms == latency.first_ms == 2002.5
        elif new:
            lags += [now_ms - (time_ms - 20) for time_ms in new]  # a frame begins 20 ms before its centre
        times += new
    assert max(lags) <= latency.algorithmic_ms
    assert max(lags) > latency.algorithmic_ms - 10  # the promise is no larger than it has to be
    times += [one.time_ms for one in stream.flush()]
    np.testing.assert_array_equal(times, 15 + 40 * np.arange(113))
    measured = stream.latency
    assert measured.compute_ms is not None


def test_resampling_is_part_of_the_latency(small: Embedder) -> None:
    stream = small.stream(48_000)
    lag_ms = stream.latency.resampling_ms
    assert 20 < lag_ms < 60
    assert stream.latency.algorithmic_ms == 1012.5 + lag_ms
    wave = audio(4, 6, 48_000)
    for count, block in enumerate(cut(wave, [48]), 1):  # 1 ms
        if stream.push(block):
            assert count <= stream.latency.first_ms + 1
            break
    sound = list(small.stream(48_000).over([wave]))
    assert_equal(sound, list(small.stream(RATE).over([load_audio(wave, 48_000)])))


def test_windows_are_the_mean_of_their_frames(small: Embedder) -> None:
    wave = audio(5.2, 7)
    windows = list(small.stream(RATE, each="window", hop_ms=2000).over([wave]))
    frames = list(small.stream(RATE, hop_ms=2000).over([wave]))
    assert [one.time_ms for one in windows] == pytest.approx([995, 2995, 4595])
    for one, part in zip(windows, (frames[:50], frames[50:100], frames[100:]), strict=True):
        np.testing.assert_allclose(one.embedding, np.mean([frame.embedding for frame in part], axis=0), atol=1e-5)
    overlapping = small.stream(RATE, each="window", hop_ms=400)
    assert [one.time_ms for one in overlapping.push(wave[: 3 * RATE])] == pytest.approx([995, 1395, 1795])


def test_overlapping_windows_keep_what_came_before(small: Embedder) -> None:
    """A window's newest frames come from the two seconds before, not from the hop alone."""
    wave = audio(4, 8)
    other = wave.copy()
    other[24_000:32_000] = audio(0.5, 9)  # 1.5 to 2 s
    a, b = (list(small.stream(RATE, hop_ms=1000).over([one])) for one in (wave, other))
    assert np.abs(a[60].embedding - b[60].embedding).max() > 1e-3  # 2.4 s
    np.testing.assert_array_equal(a[60].embedding, list(small.stream(RATE, hop_ms=1000).push(wave))[60].embedding)


def test_exponential_statistics_forget() -> None:
    loud, quiet = torch.randn(300, 4) + 10, torch.randn(500, 4) - 10
    pieces = Statistics(memory=float(np.exp(-1 / 50)))
    for piece in torch.cat([loud, quiet]).split(37):
        pieces.add(piece)
    at_once = Statistics(memory=pieces.memory)
    at_once.add(torch.cat([loud, quiet]))
    assert pieces.mean == pytest.approx(at_once.mean, rel=1e-9)
    assert pieces.deviation == pytest.approx(at_once.deviation, rel=1e-9)
    assert pieces.mean == pytest.approx(-10, abs=0.3)  # e^-10 of the weight is on what was loud
    weights = np.exp(-np.arange(799, -1, -1) / 50).repeat(4)
    values = torch.cat([loud, quiet]).double().flatten().numpy()
    mean = np.average(values, weights=weights)
    assert pieces.mean == pytest.approx(mean)
    variance = (weights * (values - mean) ** 2).sum() / (weights.sum() - 1)
    assert pieces.deviation == pytest.approx(variance**0.5)


def test_a_change_of_level_is_forgotten_after_the_time_constant(small: Embedder) -> None:
    """Scaled sound gives other embeddings at first, the same ones when the change is long ago."""
    wave = np.tile(load_audio(sample_path("water_river"))[: 2 * RATE], 12)
    scaled = np.concatenate([wave[: 2 * RATE], 0.03 * wave[2 * RATE :]])

    def cosines(time_constant_s: float | None) -> np.ndarray:
        a, b = (
            np.array([one.embedding for one in small.stream(RATE, time_constant_s=time_constant_s).over([sound])])
            for sound in (wave, scaled)
        )
        return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    assert cosines(2.0)[-25:].min() > cosines(None)[-25:].max()


def test_kinds_of_blocks(small: Embedder) -> None:
    wave = audio(2.5, 10)
    expected = list(small.stream(RATE).over([wave]))
    assert_equal(list(small.stream(RATE).over([torch.from_numpy(wave)])), expected)
    assert_equal(list(small.stream(RATE).over([wave[:0], np.stack([wave, wave], axis=1)])), expected)
    pcm = (wave * 2**15).astype(np.int16)
    assert_equal(list(small.stream(RATE).over([pcm])), list(small.stream(RATE).over([pcm / np.float32(2**15)])))


def test_a_block_given_away_may_be_used_again(small: Embedder) -> None:
    wave = audio(3, 11)
    buffer = np.empty(1000, dtype=np.float32)
    stream = small.stream(RATE)
    given_: list[TimedEmbedding] = []
    for block in wave.reshape(-1, 1000):
        buffer[:] = block
        given_ += stream.push(buffer)
    assert_equal(given_ + stream.flush(), list(small.stream(RATE).over([wave])))


def test_ends(small: Embedder) -> None:
    stream = small.stream(RATE)
    assert stream.flush() == stream.flush() == []
    with pytest.raises(AudioError, match=r"ended, with flush\(\) or an error: make a new one"):
        stream.push(audio(1, 0))
    short = small.stream(RATE)
    assert short.push(audio(1, 0)[:399]) == []
    assert short.flush() == []


def test_bad_input_says_why(small: Embedder) -> None:
    for hop_ms in (0, -40, 50, 2040, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="expected a multiple of 40 up to the window, 2000"):
            small.stream(RATE, hop_ms=hop_ms)
    for constant in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match=r"time_constant_s=.*above zero"):
            small.stream(RATE, time_constant_s=constant)
    with pytest.raises(ConfigError, match="each='clip': expected one of frame, window"):
        small.stream(RATE, each="clip")  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="sample_rate=0"):
        small.stream(0)
    published = axlstm.create_model("axlstm-tiny", layout="published", **OPTIONS)
    with pytest.raises(ConfigError, match="a stream needs layout='time'"):
        published.stream(RATE)


def test_a_refused_block_changes_nothing(small: Embedder) -> None:
    wave = audio(2.5, 12)
    stream = small.stream(RATE)
    given_ = stream.push(wave[:20_000])
    bad = wave[:100].copy()
    bad[50] = np.nan
    for block, message in (
        (bad, "the block: holds nan"),
        (wave.reshape(1, -1), r"shape \(1, 40000\): expected \(samples,\) or \(samples, channels\)"),
        (np.zeros(10, dtype=complex), "samples of type complex128"),
        ([0.0], "list: expected"),
    ):
        with pytest.raises(AudioError, match=message):
            stream.push(block)  # type: ignore[arg-type]
    given_ += stream.push(wave[20_000:]) + stream.flush()
    assert_equal(given_, list(small.stream(RATE).over([wave])))


def test_memory_stays_flat(small: Embedder) -> None:
    stream = small.stream(RATE)
    for seed in range(30):
        stream.push(audio(1, seed))
    held = sum(len(block) for block in stream._blocks) + len(stream._overlap)  # type: ignore[arg-type]
    assert held < 2 * RATE
    assert len(stream._mel) == 200
