"""What makes vectors of windows besides axlstm's models: HEAR-API modules and exported models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.audio.read import load_audio
from axlstm.collection.collection import create
from axlstm.collection.encoders import ClipWindows, EncoderNote
from axlstm.collection.loading import load_again, load_window_encoder
from axlstm.embed.windows import Windows
from axlstm.errors import AudioError, ConfigError
from axlstm.evaluate.embedding.encoders import load_encoder
from tests.collection.made import make_sounds, save_model, vectors_of
from tests.shards.made import write_sound

STUB = Path(__file__).parents[1] / "evaluate" / "stub_hear_module.py"


def levels(rate: int, windows: Windows) -> ClipWindows:
    """Length in samples, first and last sample: windows are those of the sound, whatever the blocks."""
    note = EncoderNote("levels", "levels", "0", 3)

    def embed(clips: np.ndarray) -> np.ndarray:
        return np.stack([np.full(len(clips), clips.shape[1]), clips[:, 0], clips[:, -1]], axis=1).astype(np.float32)

    return ClipWindows(embed, rate, windows, note)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.7, [(0, 0.7)]),
        (1.0, [(0, 1.0)]),
        (1.6, [(0, 1.0), (0.5, 1.5), (1.0, 1.6)]),
        (2.0, [(0, 1.0), (0.5, 1.5), (1.0, 2.0)]),
        (2.1, [(0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.5, 2.1)]),
    ],
)
def test_windows_are_cut_alike_whole_and_in_blocks(
    tmp_path: Path, seconds: float, expected: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axlstm.audio.read.BLOCK_SECONDS", 0.3)
    file = write_sound(tmp_path / "x.wav", seconds, 1)
    encoder = levels(16_000, Windows(1.0, 0.5))
    (whole,) = encoder.embed([encoder.prepare(file)])
    np.testing.assert_allclose(np.stack([whole.start_s, whole.end_s], axis=1), expected)
    streamed = list(encoder.stream(file))
    np.testing.assert_array_equal(whole.embeddings, np.concatenate([block.embeddings for block in streamed]))
    np.testing.assert_array_equal(whole.start_s, np.concatenate([block.start_s for block in streamed]))
    samples = encoder.prepare(file)[0]
    for (start_s, end_s), (length, first, last) in zip(expected, whole.embeddings, strict=True):
        assert length == round((end_s - start_s) * 16_000)
        assert (first, last) == (samples[round(start_s * 16_000)], samples[round(end_s * 16_000) - 1])


def test_a_little_sound_at_the_end_belongs_to_the_window_before(tmp_path: Path) -> None:
    encoder = levels(16_000, Windows(1.0))
    file = write_sound(tmp_path / "x.wav", 2.1, 1)
    (block,) = encoder.embed([encoder.prepare(file)])
    assert list(block.end_s) == pytest.approx([1.0, 2.1])


def test_a_module_of_another_rate(tmp_path: Path) -> None:
    file = write_sound(tmp_path / "x.wav", 1.0, 1, rate_hz=44_100)
    encoder = levels(32_000, Windows(0.5))
    (block,) = encoder.embed([encoder.prepare(file)])
    assert list(block.embeddings[:, 0]) == [16_000, 16_000]


def test_a_hear_module_embeds_each_window_by_itself(tmp_path: Path) -> None:
    sounds = make_sounds(tmp_path / "sounds", 3)
    with create(tmp_path / "c", sounds) as collection:
        collection.index([sounds], model=str(STUB), window_s=1.0, hop_s=0.5)
        assert collection.encoder().name == "stub_hear_module"
        found = vectors_of(collection)
        module = load_encoder(str(STUB))
        clip = load_audio(sounds / "01.wav")[8000:24_000]
        np.testing.assert_allclose(found["01.wav"][1], module.scenes(torch.from_numpy(clip)[None])[0], atol=1e-2)
        assert len(found["01.wav"]) == 3
        assert load_again(collection.encoder()).note.fingerprint == collection.encoder().fingerprint


def test_a_module_with_other_weights_or_another_file_is_another_encoder(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    shutil.copy(STUB, module)
    windows = Windows(1.0)
    first = load_window_encoder(str(module), windows).note.fingerprint
    assert load_window_encoder(str(module), windows).note.fingerprint == first
    module.write_text(module.read_text() + "\n# changed\n")
    assert load_window_encoder(str(module), windows).note.fingerprint != first


def test_a_module_that_fails_on_one_file_takes_no_other_with_it(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    failing = (
        "\n\ndef get_scene_embeddings(audio, model):\n    if audio.shape[1] == 24_000:\n        raise OSError('x')\n"
    )
    module.write_text(STUB.read_text() + failing + "    return torch.ones(len(audio), 192)\n")
    sounds = make_sounds(tmp_path / "sounds", 3)
    with create(tmp_path / "c", sounds) as collection:
        summary = collection.index([sounds], model=str(module), window_s=5.0)
        assert summary.embedded == 2
        ((path, reason),) = summary.skipped
        assert path.endswith("00.wav")
        assert "the model failed" in reason


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    nan = "\n\ndef get_scene_embeddings(audio, model):\n    return torch.full((len(audio), 192), float('nan'))\n"
    module.write_text(STUB.read_text() + nan)
    sounds = make_sounds(tmp_path / "sounds", 2)
    with create(tmp_path / "c", sounds) as collection:
        summary = collection.index([sounds], model=str(module))
        assert summary.embedded == 0
        assert all("no numbers" in reason for _, reason in summary.skipped)


def test_an_exported_model(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    embedder = axlstm.load_model(save_model(tmp_path / "small"))
    embedder.export(tmp_path / "small.onnx")
    file = write_sound(tmp_path / "sounds" / "x.wav", 2.0, 1)
    with create(tmp_path / "c", tmp_path / "sounds") as collection:
        collection.index([file], model=str(tmp_path / "small.onnx"), window_s=1.0)
        assert collection.encoder().name == "small"
        found = vectors_of(collection)["x.wav"]
        clip = load_audio(file)[8000:24_000]
        np.testing.assert_allclose(found[1], embedder.embed(clip, 16_000).scene, rtol=2e-2, atol=2e-3)
        with pytest.raises(ConfigError, match="takes no pooling"):
            collection.index([file], model=str(tmp_path / "small.onnx"), pooling="mean+deviation")
    with pytest.raises(ValueError, match="no such file"):
        load_window_encoder(str(tmp_path / "other.onnx"), Windows(1.0))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    model = str(save_model(tmp_path / "small"))
    with pytest.raises(ConfigError, match="layout='published'"):
        load_window_encoder(model, Windows(1.0), layout="published")
    with pytest.raises(ConfigError, match="axlstm_is_not_there cannot be imported"):
        load_window_encoder("module:axlstm_is_not_there", Windows(1.0))
    with pytest.raises(ConfigError, match="takes no layers"):
        load_window_encoder("logmel", Windows(1.0), layers=[1])
    encoder = load_window_encoder(model, Windows(1.0))
    short = write_sound(tmp_path / "x.wav", 0.01, 1)
    with pytest.raises(AudioError, match="no embedding is defined"):
        encoder.prepare(short)


def test_options_are_kept_and_loaded_again(tmp_path: Path) -> None:
    sounds = make_sounds(tmp_path / "sounds", 1)
    model = str(save_model(tmp_path / "small"))
    with create(tmp_path / "c", sounds) as collection:
        collection.index([sounds], model=model, pooling="mean+deviation", padding="none", batch_windows=2)
        entry = collection.encoder()
        assert entry.options == {"pooling": "mean+deviation", "padding": "none"}
        assert entry.size == 2 * axlstm.load_model(model).scene_embedding_size
        encoder = load_again(entry)
        (block,) = encoder.embed([encoder.prepare(sounds / "site0" / "00.wav")])
        np.testing.assert_allclose(
            block.embeddings, vectors_of(collection)["site0/00.wav"].astype(np.float32), rtol=2e-3, atol=1e-3
        )
