"""AVEX's own registry, hooks and probe take our model, offline."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import axlstm
from axlstm.audio.read import load_audio
from axlstm.errors import ConfigError
from axlstm.samples import sample_path

pytestmark = pytest.mark.filterwarnings("default")  # those of AVEX and of what it brings are not ours
pytest.importorskip("avex.models.base_model", reason="needs AVEX: pip install avex", exc_type=ImportError)

import avex  # noqa: E402
from avex.configs import AudioConfig, ModelSpec  # noqa: E402

from axlstm.adapters.avex import AvexModel  # noqa: E402


@pytest.fixture(scope="module")
def model() -> AvexModel:
    avex.register_model_class(AvexModel)
    spec = ModelSpec(
        name="axlstm", device="cpu", audio_config=AudioConfig(sample_rate=32_000), init_config={"engine": None}
    )
    return avex.build_model_from_spec(spec, "cpu")


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips at 32 kHz, the second filled up, and which of their samples are filling."""
    clips = [torch.from_numpy(load_audio(sample_path(name), to_hz=32_000)) for name in ("bird_song", "engine_rev")]
    clips = [clips[0][:96_000], clips[1][:40_000]]
    padding = torch.arange(96_000).expand(2, -1) >= torch.tensor([[96_000], [40_000]])
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), padding


def test_its_registry_builds_it_and_its_hooks_see_every_layer(model: AvexModel, batch) -> None:
    assert isinstance(model, AvexModel)
    assert model.get_model_layers() == [f"states.{number}" for number in range(13)]
    assert model.register_hooks_for_layers(["states.0", 7, "last_layer"]) == ["states.0", "states.7", "states.12"]
    sound, padding = batch
    pooled = model.extract_embeddings({"raw_wav": sound, "padding_mask": padding}, aggregation="mean")
    assert pooled.shape == (2, 3 * 960)
    for place, layer in enumerate((0, 7, 12)):
        embedder = axlstm.load_model("axlstm-tiny", layers=layer, engine=None)
        alone = [
            embedder.embed(clip[:length], 32_000).scene for clip, length in zip(sound, (96_000, 40_000), strict=True)
        ]
        np.testing.assert_allclose(pooled[:, place * 960 : (place + 1) * 960], np.stack(alone), atol=5e-5)
    frames = model.extract_embeddings(sound, aggregation="none")
    assert [tuple(layer.shape) for layer in frames] == [(2, 75, 960)] * 3


def test_its_probe_learns_on_it(model: AvexModel, batch) -> None:
    from avex.models.probes.linear_probe import LinearProbe

    torch.manual_seed(0)
    layers = model.register_hooks_for_layers(["last_layer"])
    probe = LinearProbe(base_model=model, layers=layers, num_classes=2, device="cpu", target_length=96_000)
    sound, padding = batch
    optimiser, target = torch.optim.Adam(probe.parameters(), 1e-3), torch.tensor([0, 1])
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(probe(sound, padding_mask=padding), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_classifier_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigError, match="return_features_only=False: this model has no classes"):
        AvexModel(return_features_only=False)
