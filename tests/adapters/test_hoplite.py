"""perch-hoplite's own worker embeds a folder of recordings with our model into its database, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.audio.read import load_audio
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, ConfigError
from axlstm.samples import sample_path

pytestmark = pytest.mark.filterwarnings("default")  # those of perch-hoplite and of what it brings are not ours
zoo = pytest.importorskip(
    "perch_hoplite.zoo.zoo_interface", reason='needs perch-hoplite: pip install "axlstm[hoplite]"'
)

from ml_collections.config_dict import ConfigDict  # noqa: E402
from perch_hoplite.agile import source_info  # noqa: E402
from perch_hoplite.agile.embed import EmbedWorker  # noqa: E402
from perch_hoplite.db.sqlite_usearch_impl import SQLiteUSearchDB, get_default_usearch_config  # noqa: E402

from axlstm.adapters.hoplite import HopliteModel  # noqa: E402

NAMES = ("bird_song", "engine_rev", "water_lock")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return axlstm.load_model("axlstm-tiny", engine=None)


@pytest.fixture
def model(embedder: Embedder) -> HopliteModel:
    return HopliteModel(16_000, embedder, window_size_s=2.0, hop_size_s=1.0, source="axlstm-tiny")


def own(embedder: Embedder, samples: Any, window_s: float, hop_s: float) -> Any:
    return np.concatenate([block.embeddings for block in embedder.windows(samples, window_s, hop_s, 16_000)])


def test_a_window_has_the_vector_that_it_has_here(model: HopliteModel, embedder: Embedder) -> None:
    assert isinstance(model, zoo.EmbeddingModel)
    samples = load_audio(sample_path("bird_song"))
    outputs = model.embed(samples)
    np.testing.assert_array_equal(outputs.embeddings[:, 0], own(embedder, samples, 2.0, 1.0))
    assert outputs.pooled_embeddings("mean", "squeeze").shape == (960,)


def test_a_batch_has_the_vectors_of_each(model: HopliteModel) -> None:
    batch = np.stack([load_audio(sample_path(name))[:40_000] for name in NAMES])
    together = model.batch_embed(batch)
    assert together.batched
    assert together.embeddings.shape == (3, 2, 1, 960)
    np.testing.assert_array_equal(together.embeddings[1], model.embed(batch[1]).embeddings)


def test_another_rate_is_converted(embedder: Embedder) -> None:
    samples = load_audio(sample_path("bird_song"), to_hz=32_000)
    there = HopliteModel(32_000, embedder).embed(samples).embeddings[:, 0]
    expected = np.concatenate([block.embeddings for block in embedder.windows(samples, 5.0, 5.0, 32_000)])
    np.testing.assert_array_equal(there, expected)


def test_their_worker_fills_their_database(model: HopliteModel, embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    for name in NAMES:
        soundfile.write(tmp_path / f"site/{name}.wav", load_audio(sample_path(name)), 16_000, subtype="FLOAT")
    database = SQLiteUSearchDB.create(str(tmp_path / "database"), get_default_usearch_config(960))
    sources = source_info.AudioSources((source_info.AudioSourceConfig("here", str(tmp_path), "site/*.wav"),))
    worker = EmbedWorker(sources, model.model_config, database, embedding_model=model, audio_worker_threads=2)
    worker.process_all()
    assert [one.name for one in database.get_all_deployments()] == ["site"]
    recordings = {one.id: Path(one.filename).stem for one in database.get_all_recordings()}
    assert sorted(recordings.values()) == sorted(NAMES)
    for number, name in recordings.items():
        windows = sorted(
            (one for one in database.get_all_windows() if one.recording_id == number), key=lambda one: one.offsets[0]
        )
        expected = own(embedder, load_audio(sample_path(name)), 2.0, 1.0)
        assert [one.offsets[0] for one in windows] == list(range(len(expected)))
        stored = np.stack([database.get_embedding(one.id) for one in windows])  # in half precision
        np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-3)
    described = database.get_metadata("model_config")
    again = HopliteModel.from_config(described.model_config)
    assert (again.window_size_s, again.hop_size_s, described.embedding_dim) == (2.0, 1.0, 960)
    assert again.embedder.config == embedder.config
    database.db.close()


def test_a_configuration_is_enough() -> None:
    config = ConfigDict({"source": "axlstm-tiny", "options": {"engine": None, "pooling": "mean+deviation"}})
    model = HopliteModel.from_config(config)
    assert (model.sample_rate, model.window_size_s, model.model_config.embedding_dim) == (16_000, 5.0, 1920)
    assert model.embed(load_audio(sample_path("bird_song"))).embeddings.shape[-1] == 1920


def test_what_cannot_be_embedded_is_named(model: HopliteModel, embedder: Embedder) -> None:
    with pytest.raises(AudioError, match=r"audio_array: expected \(samples,\), got \(2, 16000\)"):
        model.embed(np.zeros((2, 16_000), np.float32))
    with pytest.raises(ConfigError, match="unknown option window: expected source, sample_rate"):
        HopliteModel.from_config({"window": 5.0})
    with pytest.raises(ConfigError, match="hop_s=6 is longer than window_s=5"):
        HopliteModel(16_000, embedder, hop_size_s=6.0)
