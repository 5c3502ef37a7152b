"""s3prl's own upstream and featurizer take our expert, offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.audio.read import load_audio
from axlstm.errors import ConfigError
from axlstm.samples import sample_path

pytestmark = pytest.mark.filterwarnings("default")  # those of s3prl and of what it brings are not ours
pytest.importorskip("s3prl", reason="needs s3prl: pip install s3prl")

from axlstm.adapters.s3prl import UpstreamExpert, register  # noqa: E402


@pytest.fixture(scope="module")
def expert() -> UpstreamExpert:
    return UpstreamExpert("axlstm-tiny")


@pytest.fixture(scope="module")
def clips() -> list[torch.Tensor]:
    lengths = {"bird_song": 48_000, "engine_rev": 20_000}
    return [torch.from_numpy(load_audio(sample_path(name))[:length]) for name, length in lengths.items()]


def test_hidden_states_are_those_of_the_layers(expert: UpstreamExpert, clips: list[torch.Tensor]) -> None:
    states = expert(clips)["hidden_states"]
    assert [tuple(state.shape) for state in states] == [(2, 75, 960)] * 13
    assert not states[0][1, 32:].any()
    for layer in (0, 7, 12):
        embedder = axlstm.load_model("axlstm-tiny", layers=layer, engine=None)
        for row, clip in zip(states[layer], clips, strict=True):
            own = embedder.embed(clip, 16_000).frames
            np.testing.assert_allclose(row[: len(own)], own, atol=2e-5)
    np.testing.assert_array_equal(states[12][1, 31], states[12][1, 30])  # 31 and a quarter frames


def test_their_upstream_and_featurizer_take_it(clips: list[torch.Tensor], tmp_path: Path) -> None:
    from s3prl.nn import Featurizer, S3PRLUpstream

    register()
    axlstm.load_model("axlstm-tiny").save_pretrained(tmp_path / "own")
    upstream = S3PRLUpstream("axlstm", path_or_url=str(tmp_path / "own"))
    assert (upstream.num_layers, upstream.downsample_rates[0]) == (13, 640)
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    states, lengths = upstream(padded, torch.tensor([len(clip) for clip in clips]))
    features, counts = Featurizer(upstream)(states, lengths)
    assert counts.tolist() == [75, 32]
    mean = torch.stack(expert_states(clips)).mean(0)  # the weights are equal before training
    torch.testing.assert_close(features, mean, atol=1e-4, rtol=0)


def expert_states(clips: list[torch.Tensor]) -> list[torch.Tensor]:
    return UpstreamExpert("axlstm-tiny")(clips)["hidden_states"]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model_config='a.yaml': a model's folder has its configuration"):
        UpstreamExpert(model_config="a.yaml")
    with pytest.raises(ConfigError, match="layers=3: all layers are given"):
        UpstreamExpert(layers=3)
