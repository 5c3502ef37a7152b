"""Frames to one vector for a clip, wherever clips are embedded: in memory, in blocks, in files, exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
import axlstm.hear
from axlstm.cli import main
from axlstm.embed.embedder import Embedder
from axlstm.errors import ConfigError
from axlstm.model.pooling import RunningPool, pool
from axlstm.store import batch
from axlstm.store.formats import read_records
from tests.seeded import audio

SMALL = {"depth": 2, "width": 32, "heads": 2}


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return axlstm.create_model("axlstm-tiny", pooling="mean+deviation", **SMALL)


def test_deviations_are_of_the_frames_around_their_mean() -> None:
    frames = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    torch.testing.assert_close(pool(frames, "mean"), torch.tensor([2.0, 5.0]))
    torch.testing.assert_close(pool(frames, "mean+deviation"), torch.tensor([2.0, 5.0, 1.0, 0.0]))
    assert pool(frames[:1], "mean+deviation").tolist() == [1.0, 5.0, 0.0, 0.0]  # one frame does not deviate


def test_blocks_give_what_the_whole_gives_even_far_from_zero() -> None:
    frames = (1e4 + np.random.default_rng(0).standard_normal((700, 3))).astype(np.float32)
    running = RunningPool("mean+deviation")
    for block in np.split(frames, [1, 2, 50, 600]):
        running.add(block)
    exact = np.concatenate([frames.mean(axis=0, dtype=np.float64), frames.std(axis=0, dtype=np.float64)])
    np.testing.assert_allclose(running.result(), exact, rtol=1e-6)


def test_a_scene_has_means_and_deviations_of_its_frames(embedder: Embedder) -> None:
    plain = axlstm.create_model("axlstm-tiny", **SMALL)
    wave = audio(5.0, 0)
    ours, theirs = embedder.embed(wave, 16_000), plain.embed(wave, 16_000)
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    size = plain.scene_embedding_size
    np.testing.assert_array_equal(ours.scene[:size], theirs.scene)
    np.testing.assert_allclose(ours.scene[size:], ours.frames.std(axis=0), atol=1e-6)
    assert embedder.scene_embedding_size == 2 * size == len(ours.scene)
    assert embedder.fingerprint != plain.fingerprint
    clips = torch.from_numpy(wave)[None]
    np.testing.assert_allclose(axlstm.hear.get_scene_embeddings(clips, embedder)[0], ours.scene, atol=1e-6)


def test_a_stream_of_windows_has_deviations_too(embedder: Embedder) -> None:
    stream = embedder.stream(16_000, hop_ms=2000, each="window")
    given = [*stream.push(audio(4.0, 1)), *stream.flush()]
    assert given
    assert {len(window.embedding) for window in given} == {embedder.scene_embedding_size}


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
@pytest.mark.parametrize("long", [False, True])
def test_files_hold_scenes_and_frames_of_different_sizes(
    tmp_path: Path, embedder: Embedder, suffix: str, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    monkeypatch.setattr(batch, "LONG_SECONDS", 1.0 if long else 600.0)
    sounds = [tmp_path / f"{number}.wav" for number in range(2)]
    for number, path in enumerate(sounds):
        soundfile.write(path, audio(3.0 + number, number), 16_000)
    out = tmp_path / f"e{suffix}"
    for known in (1, 2):  # the second run goes on from the first one's file
        batch.embed_files(embedder, sounds[:known], out, frames=True)
    for path, record in zip(sounds, read_records(out), strict=True):
        expected = embedder.embed(path)
        assert record.scene is not None
        assert record.frames is not None
        np.testing.assert_allclose(record.scene, expected.scene, atol=1e-5)
        np.testing.assert_allclose(record.frames, expected.frames, atol=1e-5)


def test_exported_models_pool_as_the_embedder_does(tmp_path: Path, embedder: Embedder) -> None:
    embedder.export(tmp_path / "m.onnx", "onnx")
    model = axlstm.ExportedModel(tmp_path / "m.onnx")
    wave = audio(3.0, 2)
    np.testing.assert_allclose(model.embed(wave, 16_000).scene[0], embedder.embed(wave, 16_000).scene, atol=1e-4)
    assert model.metadata["pooling"] == "mean+deviation"


def test_the_command_line_takes_a_pooling(tmp_path: Path, embedder: Embedder) -> None:
    import soundfile

    embedder.save_pretrained(tmp_path / "m")
    soundfile.write(tmp_path / "a.wav", audio(2.0, 3), 16_000)
    out = tmp_path / "e.csv"
    options = ["-m", str(tmp_path / "m"), "-o", str(out)]
    assert main(["embed", str(tmp_path / "a.wav"), *options, "--pooling", "mean+deviation"]) == 0
    [record] = read_records(out)
    assert record.scene is not None
    np.testing.assert_allclose(record.scene, embedder.embed(tmp_path / "a.wav").scene, atol=1e-5)
    assert main(["embed", str(tmp_path / "a.wav"), *options]) != 0  # another pooling is another file


def test_an_unknown_pooling_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"pooling='max': expected one of mean, mean\+deviation"):
        axlstm.create_model("axlstm-tiny", pooling="max", **SMALL)
