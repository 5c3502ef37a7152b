"""Embeddings: the published ones, and those in the order of time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.audio.logmel import normalise
from axlstm.audio.read import load_audio
from axlstm.checkpoints.own import Checkpoint
from axlstm.embed.batching import embed_in_groups, encode_windows
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.samples import sample_path, sample_paths
from tests.conftest import PUBLISHED_TINY
from tests.seeded import audio

RATE = 16_000


@pytest.fixture(scope="module")
def small() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=2, width=64)


@pytest.mark.parametrize("name", PUBLISHED_TINY)
@pytest.mark.parametrize("length", [0.1, 1.0, 1.99, 2.0, 4.5, 10.0])
def test_published_layout_gives_the_published_numbers(
    name: str, length: float, golden: dict, seeded_checkpoint: Callable
) -> None:
    embedder = Embedder(seeded_checkpoint(name), layout="published")
    out = embedder.embed(audio(length, int(length * 100)), RATE)
    np.testing.assert_allclose(out.scene, golden[f"{name}/{length}/scene"][0], atol=2e-4)
    np.testing.assert_allclose(out.timestamps_ms, golden[f"{name}/{length}/timestamps_ms"][0], atol=1e-3)
    if f"{name}/{length}/frames" in golden:
        np.testing.assert_allclose(out.frames, golden[f"{name}/{length}/frames"][0], atol=2e-4)


@pytest.mark.parametrize("name", PUBLISHED_TINY)
def test_published_batch(name: str, golden: dict, seeded_checkpoint: Callable) -> None:
    embedder = Embedder(seeded_checkpoint(name), layout="published")
    clips = [audio(3, seed) for seed in range(3)]
    expected = golden[f"{name}/b3/scene"]
    np.testing.assert_allclose([out.scene for out in embedder.embed_batch(clips, RATE)], expected, atol=2e-4)
    frames, _ = embedder(torch.from_numpy(np.stack(clips)))
    np.testing.assert_allclose(frames.mean(dim=1), expected, atol=2e-4)


def expected_frames(samples: int) -> int:
    mel_frames = samples // 160
    whole, rest = divmod(mel_frames, 4)
    return max(1, whole + (rest >= 2))


LENGTHS = [0.1, 0.5, 1.0, 1.98, 1.99, 2.0, 2.01, 2.03, 3.999, 4.0, 5.3, 10.0, 31.7, 60.0, 65.0]


@pytest.mark.parametrize("seconds", LENGTHS)
@pytest.mark.parametrize("layout", ["time", "published"])
def test_every_length_is_defined(seconds: float, layout: str) -> None:
    embedder = axlstm.create_model("axlstm-tiny", depth=1, width=32, layout=layout)
    clip = audio(seconds, 0)
    out = embedder.embed(clip, RATE)
    assert out.frames.shape == (len(out.timestamps_ms), 160)
    assert out.scene.shape == (160,)
    assert {out.scene.dtype, out.frames.dtype, out.timestamps_ms.dtype} == {np.dtype(np.float32)}
    assert np.isfinite(out.frames).all()
    assert out.duration_s == pytest.approx(seconds, abs=1e-4)
    np.testing.assert_allclose(out.scene, out.frames.mean(axis=0), atol=1e-5)
    assert (np.diff(out.timestamps_ms) > 0).all()
    assert out.timestamps_ms[0] >= 0
    assert out.timestamps_ms[-1] < 1000 * seconds
    if layout == "time":
        assert len(out.frames) == expected_frames(len(clip))
        np.testing.assert_allclose(out.timestamps_ms, 40 * np.arange(len(out.frames)) + 15, atol=1e-2)


@pytest.mark.parametrize("samples", [400, 479, 480, 639, 640, 799, 800, 31_999, 32_000, 32_159, 32_320])
def test_frame_counts_at_the_edges(samples: int, small: Embedder) -> None:
    out = small.embed(audio(samples / RATE, 1)[:samples], RATE)
    assert len(out.frames) == expected_frames(samples)
    assert out.timestamps_ms[-1] < 1000 * samples / RATE


def test_two_seconds_are_one_window(small: Embedder) -> None:
    windows: list[int] = []
    handle = small.model.encoder.register_forward_pre_hook(lambda _, args: windows.append(len(args[0])))
    small.embed(audio(2.0, 0), RATE)
    small.embed(audio(4.0, 0), RATE)
    handle.remove()
    assert sum(windows) == 3


def test_time_layout_by_definition(small: Embedder) -> None:
    clip = audio(4.5, 3)
    out = small.embed(clip, RATE)
    mel = normalise(small.logmel(torch.from_numpy(clip))[:450])
    padded = torch.cat([mel, torch.zeros(150, 80)]).reshape(3, 200, 80)
    with torch.no_grad():
        tokens = small.model.encoder(padded)  # (3, 250, D)
    for frame in (0, 1, 49, 50, 99, 111):
        window, place = divmod(frame, 50)
        by_hand = torch.cat([tokens[window, 5 * place + band] for band in range(5)])
        np.testing.assert_allclose(out.frames[frame], by_hand, atol=2e-5)
    assert len(out.frames) == 113  # 450 mel frames: 112 whole patches, and one half real


@pytest.mark.parametrize("samples", [400, 1600, 8000, 31_679])
def test_a_short_clip_is_encoded_without_padding(small: Embedder, samples: int) -> None:
    unpadded = Embedder(small.checkpoint, padding="none")
    clip = audio(samples / RATE, 4)
    mel = normalise(small.logmel(torch.from_numpy(clip))[: samples // 160])
    count = expected_frames(samples)
    window = torch.zeros(4 * count, 80)  # at most half of the last patch is not sound
    window[: len(mel)] = mel[: len(window)]
    with torch.no_grad():
        tokens = small.model.encoder(window[None])  # (1, 5 * count, D)
    np.testing.assert_allclose(unpadded.embed(clip, RATE).frames, tokens.reshape(count, -1), atol=2e-5)
    padded = torch.cat([mel, torch.zeros(200 - len(mel), 80)])
    with torch.no_grad():
        of_window = small.model.encoder(padded[None])[:, : 5 * count]
    np.testing.assert_allclose(small.embed(clip, RATE).frames, of_window.reshape(count, -1), atol=2e-5)
    assert (of_window - tokens).abs().max() > 1e-3  # what is padded is heard


def test_windows_of_one_length_share_batches() -> None:
    asked: list[tuple[int, ...]] = []

    def encode(windows: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(windows.shape))
        return windows.mean(dim=2)[:, ::4, None]

    lengths = [200, 12, 200, 4, 12, 200, 12]
    windows = [torch.full((length, 80), float(index)) for index, length in enumerate(lengths)]
    frames = encode_windows(encode, windows, 800)
    assert [(len(own), float(own[0, 0])) for own in frames] == [(n // 4, float(i)) for i, n in enumerate(lengths)]
    assert sum(shape[0] for shape in asked) == len(lengths)
    assert len({shape[1] for shape in asked}) == 3
    assert len(asked) <= 3 * torch.get_num_threads()


@pytest.mark.parametrize("seconds", [0.3, 4.5, 70.5])
def test_without_padding_blocks_and_streams_end_alike(small: Embedder, seconds: float) -> None:
    unpadded = Embedder(small.checkpoint, padding="none")
    clip = audio(seconds, 5)
    frames = unpadded.embed(clip, RATE).frames
    blocks = [block.frames for block in unpadded.embed_stream(clip, RATE)]
    np.testing.assert_allclose(np.concatenate(blocks), frames, atol=2e-4)
    tail = len(frames) % 50
    assert np.abs(frames[-tail:] - small.embed(clip, RATE).frames[-tail:]).max() > 1e-3
    live = unpadded.stream(RATE, hop_ms=2000, time_constant_s=None)
    given = [*live.push(clip), *live.flush()]
    assert len(given) == len(frames)
    if seconds < 2:  # the statistics of a stream are those of the clip where there is one window
        np.testing.assert_allclose([moment.embedding for moment in given], frames, atol=2e-4)


def test_the_fingerprint_tells_how_windows_end(small: Embedder) -> None:
    assert Embedder(small.checkpoint, padding="none").fingerprint != small.fingerprint
    assert Embedder(small.checkpoint, padding="window").fingerprint == small.fingerprint


@pytest.mark.parametrize("family", ["axlstm", "ssast"])
@pytest.mark.parametrize("at_s", [0.11, 0.5, 1.03, 1.77, 2.9, 4.21])
def test_an_impulse_lights_up_the_frame_at_its_time(family: str, at_s: float) -> None:
    embedder = axlstm.create_model(f"{family}-tiny", layers=0)
    clip = 1e-3 * np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    quiet = embedder.embed(clip, RATE)
    clip[round(at_s * RATE)] += 0.5
    change = np.linalg.norm(embedder.embed(clip, RATE).frames - quiet.frames, axis=1)
    # The normalisation moves all frames a little; the impulse's own frame moves most.
    assert abs(quiet.timestamps_ms[change.argmax()] - 1000 * at_s) <= 25


def test_in_the_published_layout_it_lights_up_elsewhere() -> None:
    embedder = axlstm.create_model("axlstm-tiny", layers=0, layout="published")
    clip = 1e-3 * np.random.default_rng(0).standard_normal(2 * RATE - 200).astype(np.float32)
    quiet = embedder.embed(clip, RATE)
    clip[round(1.5 * RATE)] += 0.5
    change = np.linalg.norm(embedder.embed(clip, RATE).frames - quiet.frames, axis=1)
    assert (change > change.max() / 2).sum() >= 4  # five moments share a frame


@pytest.mark.parametrize("name", PUBLISHED_TINY)
@pytest.mark.parametrize(("layout", "padding"), [("time", "window"), ("time", "none"), ("published", "window")])
def test_batch_invariance(name: str, layout: str, padding: str, seeded_checkpoint: Callable) -> None:
    embedder = Embedder(seeded_checkpoint(name), layout=layout, padding=padding)
    clips = [audio(seconds, index) for index, seconds in enumerate([0.3, 2.0, 5.1, 0.1, 3.0])]
    clips.append(load_audio(sample_path("bird_song")))
    alone = [embedder.embed(clip, RATE) for clip in clips]
    order = [3, 5, 0, 2, 4, 1]
    for batch_windows in (1, 3, 16):
        embedder.batch_windows = batch_windows
        together = embedder.embed_batch([clips[index] for index in order], RATE)
        for index, out in zip(order, together, strict=True):
            for got, expected in ((out.frames, alone[index].frames), (out.scene, alone[index].scene)):
                assert np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected)
            assert (out.timestamps_ms == alone[index].timestamps_ms).all()


def test_groups_of_many_clips_come_out_in_order(small: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.embed.batching._BATCHES_PER_GROUP", 1)
    clips = [audio(0.2 + 0.7 * (index % 4), index) for index in range(13)]
    for clip, out in zip(clips, embed_in_groups(small, iter(clips), RATE), strict=True):
        np.testing.assert_allclose(out.scene, small.embed(clip, RATE).scene, atol=1e-4)


def test_an_hour_is_embedded() -> None:
    embedder = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)
    hour = np.tile(audio(60, 0), 60)
    out = embedder.embed(hour, RATE)
    assert len(out.frames) == 90_000
    assert out.timestamps_ms[-1] == pytest.approx(3_600_000 - 25)
    assert np.isfinite(out.frames).all()


def test_silence_and_constant_levels_give_finite_embeddings(small: Embedder) -> None:
    for level in (0.0, 0.5, -1.0):
        for layout in ("time", "published"):
            embedder = Embedder(small.checkpoint, layout=layout)
            out = embedder.embed(np.full(RATE, level, np.float32), RATE)
            assert np.isfinite(out.frames).all()


def test_a_missing_file_among_clips_is_named(small: Embedder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"clip 1: .*nowhere\.wav"):
        small.embed_batch([sample_path("bell"), tmp_path / "nowhere.wav"])


def test_too_short_clips_say_so(small: Embedder) -> None:
    for call in (small.embed, lambda x, rate: small.embed_batch([audio(1, 0), x], rate)):
        with pytest.raises(AudioError, match="399 samples at 16000 Hz: no embedding is defined below 400"):
            call(np.zeros(399, np.float32), RATE)
    with pytest.raises(AudioError, match="clip 1"):
        small.embed_batch([audio(1, 0), np.zeros(399, np.float32)], RATE)
    with pytest.raises(AudioError, match="399 samples"):
        small(torch.zeros(2, 399))
    with pytest.raises(AudioError, match=r"expected \(clips, samples\), got \(399,\)"):
        small(torch.zeros(399))


def test_paths_arrays_and_tensors_give_the_same(small: Embedder) -> None:
    path = sample_path("speech_ru_queue")
    wave = load_audio(path)
    expected = small.embed(path)
    for other in (small.embed(wave, RATE), small.embed(torch.from_numpy(wave), RATE), small.embed(path.read_bytes())):
        assert (other.frames == expected.frames).all()
    frames, timestamps_ms = small(torch.from_numpy(wave)[None])
    np.testing.assert_allclose(frames[0], expected.frames, atol=1e-5)
    np.testing.assert_array_equal(timestamps_ms, expected.timestamps_ms)


def test_deterministic_and_leaves_the_world_as_it_was(small: Embedder) -> None:
    clip = audio(3.3, 0)
    random_state, threads, grad = torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    first, second = small.embed(clip, RATE), small.embed(clip, RATE)
    assert (first.frames == second.frames).all()
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, grad)
    assert not torch.is_inference_mode_enabled()
    leaf = torch.ones(1, requires_grad=True)
    (small(torch.from_numpy(clip)[None])[0] * leaf).sum().backward()  # results are ordinary tensors
    assert leaf.grad is not None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", torch.bfloat16])
@pytest.mark.parametrize("name", PUBLISHED_TINY)
def test_half_precision_is_near(dtype: str | torch.dtype, name: str, seeded_checkpoint: Callable) -> None:
    exact, half = Embedder(seeded_checkpoint(name)), Embedder(seeded_checkpoint(name), dtype=dtype)
    for path in sample_paths()[:6]:
        a, b = exact.embed(path), half.embed(path)
        assert b.frames.dtype == np.float32
        assert a.scene @ b.scene / np.linalg.norm(a.scene) / np.linalg.norm(b.scene) > 0.999


@pytest.mark.parametrize("seconds", [1.0, 9.0])
def test_the_callers_autocast_changes_nothing(small: Embedder, seconds: float) -> None:
    clip = audio(seconds, 0)
    expected = small.embed(clip, 16_000).frames
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(small.embed(clip, 16_000).frames, expected)


def test_layers_replace_the_last(small: Embedder) -> None:
    clip = audio(2.0, 0)
    both = axlstm.create_model("axlstm-tiny", depth=2, width=64, layers=(1, -1))
    assert both.scene_embedding_size == both.timestamp_embedding_size == 640
    one = axlstm.create_model("axlstm-tiny", depth=2, width=64, layers=1)
    last = axlstm.create_model("axlstm-tiny", depth=2, width=64, layers=2)
    expected = np.concatenate([one.embed(clip, RATE).frames, last.embed(clip, RATE).frames], axis=1)
    np.testing.assert_array_equal(both.embed(clip, RATE).frames, expected)
    assert small.fingerprint != one.fingerprint != last.fingerprint
    with pytest.raises(ConfigError, match=r"layers=\[3\]: expected numbers from 0 \(patches\) to 2"):
        axlstm.create_model("axlstm-tiny", depth=2, layers=3)


def test_the_callers_model_stays_as_it_is(tmp_path: Path) -> None:
    checkpoint = Checkpoint(MaskedPatchModel.initialised(ModelConfig(depth=1, width=32, heads=2)), name="x")
    exact = Embedder(checkpoint)
    expected = exact.embed(audio(1.0, 0), RATE).frames
    half = Embedder(checkpoint, dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in checkpoint.model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in checkpoint.model.parameters())
    np.testing.assert_array_equal(exact.embed(audio(1.0, 0), RATE).frames, expected)
    saved = half.save_pretrained(tmp_path / "saved")
    again = axlstm.load_model(saved, engine=None)  # in bfloat16, weights would be rounded
    np.testing.assert_array_equal(again.embed(audio(1.0, 0), RATE).frames, expected)


def test_devices_round_trip(small: Embedder) -> None:
    clip = audio(1.0, 0)
    expected = small.embed(clip, RATE).frames
    moved = axlstm.create_model("axlstm-tiny", depth=2, width=64, device="auto")
    np.testing.assert_allclose(moved.embed(clip, RATE).frames, expected, atol=1e-3)
    assert moved.to("cpu").device.type == "cpu"
    np.testing.assert_allclose(moved.embed(clip, RATE).frames, expected, atol=1e-6)


def test_options_that_do_not_exist() -> None:
    def create(**options: object) -> None:
        axlstm.create_model("axlstm-tiny", depth=1, **options)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="layout='band': expected one of time, published"):
        create(layout="band")
    with pytest.raises(ConfigError, match="dtype='int8': expected one of float32, bfloat16, float16"):
        create(dtype="int8")
    with pytest.raises(ConfigError, match="dtype"):
        create(dtype=torch.int8)
    with pytest.raises(ConfigError, match="device='toaster'"):
        create(device="toaster")
    with pytest.raises(ConfigError, match="batch_windows=0"):
        create(batch_windows=0)


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="device='cuda' is not there: this machine has cpu"):
        axlstm.create_model("axlstm-tiny", depth=1, device="cuda")
