"""The checks that hear-validator 2021.0.6 makes, and agreement with the embedder."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.embed.embedder import Embedder
from tests.seeded import audio

ALLOWED_RATES = (16_000, 22_050, 32_000, 44_100, 48_000)


@pytest.fixture(scope="module")
def module():
    return importlib.import_module("axlstm.hear")


@pytest.fixture(scope="module", params=["time", "published"])
def model(request: pytest.FixtureRequest, module) -> Embedder:
    return module.load_model(layout=request.param)


def test_loads_with_and_without_a_path(module, tmp_path: Path) -> None:
    without = module.load_model()
    with_path = module.load_model(str(without.save_pretrained(tmp_path)))
    assert isinstance(without, torch.nn.Module)
    assert isinstance(with_path, torch.nn.Module)
    assert without.fingerprint == with_path.fingerprint


def test_attributes(model: Embedder) -> None:
    assert model.sample_rate in ALLOWED_RATES
    assert isinstance(model.sample_rate, int)
    assert isinstance(model.scene_embedding_size, int)
    assert isinstance(model.timestamp_embedding_size, int)


@pytest.mark.parametrize("seconds", [1.07, 1.98, 4.0])
def test_timestamp_embeddings(module, model: Embedder, seconds: float) -> None:
    clips = torch.rand(2, int(seconds * model.sample_rate)) * 2 - 1
    embeddings, timestamps = module.get_timestamp_embeddings(clips, model)
    assert embeddings.dtype == torch.float32
    assert embeddings.ndim == 3
    assert embeddings.shape[0] == 2
    assert embeddings.shape[2] == model.timestamp_embedding_size
    assert timestamps.shape == embeddings.shape[:2]
    gaps = timestamps.diff(dim=1)
    assert (gaps - gaps.mean()).abs().max() < 1
    assert timestamps.min() >= 0
    assert timestamps.max() <= 1000 * seconds


def test_scene_embeddings(module, model: Embedder) -> None:
    clips = torch.rand(4, int(2.74 * model.sample_rate)) * 2 - 1
    embeddings = module.get_scene_embeddings(clips, model)
    assert embeddings.dtype == torch.float32
    assert embeddings.shape == (4, model.scene_embedding_size)


def test_agrees_with_the_embedder(module, model: Embedder) -> None:
    clips = [audio(2.5, seed) for seed in range(2)]
    embeddings, timestamps = module.get_timestamp_embeddings(torch.from_numpy(np.stack(clips)), model)
    scenes = module.get_scene_embeddings(torch.from_numpy(np.stack(clips)), model)
    for index, expected in enumerate(model.embed_batch(clips, 16_000)):
        np.testing.assert_allclose(embeddings[index], expected.frames, atol=1e-4)
        np.testing.assert_allclose(scenes[index], expected.scene, atol=1e-4)
        np.testing.assert_array_equal(timestamps[index], expected.timestamps_ms)


def test_options_reach_the_embedder(module) -> None:
    model = module.load_model("axlstm-tiny", layout="published", dtype="bfloat16", layers=6)
    assert model.layout_name == "published"
    assert model.layers == [6]
    assert module.get_scene_embeddings(torch.zeros(1, 16_000), model).dtype == torch.float32
    assert model.fingerprint != axlstm.load_model("axlstm-tiny").fingerprint
