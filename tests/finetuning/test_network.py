"""The network sees real frames only, and its parts say what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.finetuning.begin import Vectors, fit_probe, losses_of, standardise
from axlstm.finetuning.clips import Clip
from axlstm.finetuning.config import AdaptConfig, FinetuneConfig
from axlstm.finetuning.network import ClipHead, MovingAverage, TunedNetwork, make_network, plain_weights
from axlstm.finetuning.reading import BatchMaker, ClipReader
from axlstm.model.pooling import Attention
from axlstm.options import HeadPooling
from tests.finetuning.made import LABELS


@pytest.fixture
def maker(clips: Path, model: Path) -> BatchMaker:
    embedder = axlstm.load_model(model)
    own = [Clip(clips / label / f"{number}.wav") for number in (0, 4, 7) for label in LABELS]
    return BatchMaker(ClipReader(own, embedder.checkpoint.frontend, 10), embedder.config, "multilabel", 3)


def network_of(model: Path, pooling: HeadPooling) -> TunedNetwork:
    embedder = axlstm.load_model(model)
    head = ClipHead(embedder.config.embedding_size, 3, pooling, 0.0)
    with torch.no_grad():
        torch.manual_seed(0)
        head.linear.weight.normal_()
        if head.attention is not None:
            head.attention.normal_()
    return TunedNetwork(embedder.checkpoint.model.encoder, embedder.layout, head).eval()


@pytest.mark.parametrize("pooling", ["mean", "mean+deviation", "attention"])
def test_a_batch_of_unequal_lengths_is_each_clip_alone(pooling: HeadPooling, maker: BatchMaker, model: Path) -> None:
    network = network_of(model, pooling)
    together = maker.whole(range(9))
    assert len(set(together.frames.tolist())) > 2
    with torch.no_grad():
        scores, real = network(*together[:3])
        alone = torch.cat([network(*maker.whole([index])[:3])[0] for index in range(9)])
    assert real.sum(dim=1).tolist() == together.frames.tolist()
    assert torch.allclose(scores, alone, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "mean+deviation", "attention"])
def test_vectors_are_those_that_the_embedder_gives(pooling: HeadPooling, maker: BatchMaker, model: Path) -> None:
    network, embedder = network_of(model, pooling), axlstm.load_model(model)
    if pooling == "attention":
        embedder.pooling = Attention(network.head.attention.detach())
    else:
        embedder.pooling = pooling
    batch = maker.whole([0, 5])
    vectors, _ = network.evaluate(*batch[:3])
    expected = [embedder.embed(maker.reader.clips[index].path).scene for index in (0, 5)]
    assert np.allclose(vectors.numpy(), np.stack(expected), atol=2e-5)


def test_frames_behind_the_end_have_no_gradient(maker: BatchMaker, model: Path) -> None:
    network = network_of(model, "mean+deviation")
    batch = maker.whole([0, 4])
    frames, real = network.frames_of(*batch[:3])
    assert not real.all()
    padded = frames.detach().requires_grad_(True)
    network.head(padded, real).square().sum().backward()
    assert (padded.grad[~real] == 0).all()
    assert (padded.grad[real].abs().sum(dim=1) > 0).all()


def test_a_change_of_low_rank_begins_as_none_and_is_added_when_saved(model: Path) -> None:
    embedder = axlstm.load_model(model)
    before = {name: value.clone() for name, value in embedder.checkpoint.model.encoder.state_dict().items()}
    config = FinetuneConfig(adapt=AdaptConfig(low_rank=2))
    network = make_network(embedder.checkpoint.model, embedder.layout, "multiclass", 3, config)
    assert plain_weights(network.encoder).keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in plain_weights(network.encoder).items())
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert all("parametrizations" in name or name.startswith("head.") for name in trained)
    with torch.no_grad():
        change = network.encoder.blocks[0].layer.up.parametrizations.weight[0]
        change.up.fill_(1.0)
    after = plain_weights(network.encoder)["blocks.0.layer.up.weight"]
    expected = before["blocks.0.layer.up.weight"] + change.up @ change.down
    assert torch.allclose(after, expected)


def test_a_moving_average_is_in_place_for_a_while_only() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    average = MovingAverage(layer, 0.9)
    first = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    average.follow(layer)
    with average.in_place(layer):
        assert torch.allclose(layer.weight, first + 0.1)
    assert torch.allclose(layer.weight, first + 1)


def test_a_probe_is_the_regression_with_a_prior() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(2.0, 3.0, (200, 6)).astype(np.float32))
    values[:, 5] = 7.0  # constant: it has no say
    targets = torch.eye(2)[(values[:, 0] > 2.0).long()]
    head = ClipHead(6, 2, "mean", 0.0)
    train, valid = Vectors(values[:150], targets[:150]), Vectors(values[150:], targets[150:])
    standardise(head, train)
    assert torch.isinf(head.deviation).tolist() == [False] * 5 + [True]
    losses = fit_probe(head, train, valid, "multiclass")
    assert min(losses.values()) < 0.3
    right = head.score(valid.values).argmax(dim=1) == valid.targets.argmax(dim=1)
    assert right.float().mean() > 0.9
    assert float(head.linear.weight[:, 5].detach().abs().max()) < 1e-6


def test_what_is_not_known_is_left_out_of_the_loss() -> None:
    scores = torch.tensor([[2.0, -1.0], [2.0, 100.0]])
    full = losses_of(scores, torch.tensor([[1.0, 0.0], [1.0, torch.nan]]), "multilabel")
    single = torch.nn.functional.softplus(torch.tensor([-2.0, -1.0]))
    assert torch.allclose(full, torch.stack([single.mean(), single[0]]))
