"""The losses of pairs of crops against twins in float64, and what a batch needs for them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from axlstm.data.order import BatchPlan
from axlstm.data.reader import CropReader
from axlstm.data.shards import open_shards
from axlstm.errors import ConfigError, DataError
from axlstm.pretrain.config import ClipsConfig, ObjectiveConfig
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.objectives.clips import ClipHead, nt_xent, vicreg_terms
from axlstm.pretrain.stepper import crops_per_step
from axlstm.training.config import OptimiserConfig
from axlstm.training.world import World
from tests.pretrain.runs import SMALL, small_config

ALONE = World(0, 1, torch.device("cpu"))


def slow_vicreg(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms one channel, and one pair of channels, at a time."""
    count, width = one.shape
    invariance = sum((a - b) ** 2 for a, b in zip(one.flatten(), other.flatten(), strict=True)) / (count * width)
    variance, covariance = [], []
    for view in (one, other):
        channels = [view[:, channel] - sum(view[:, channel]) / count for channel in range(width)]
        for i, a in enumerate(channels):
            deviation = (sum(a * a) / (count - 1) + 1e-4) ** 0.5
            variance.append(torch.clamp(1 - deviation, min=0))
            covariance += [(sum(a * b) / (count - 1)) ** 2 for j, b in enumerate(channels) if j != i]
    return invariance, sum(variance) / (2 * width), sum(covariance) / width


def slow_nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    rows = [row / sum(row**2) ** 0.5 for row in [*one, *other]]
    count = len(one)
    losses = []
    for i, row in enumerate(rows):
        partner = (i + count) % (2 * count)
        scores = {j: sum(row * rows[j]) / temperature for j in range(2 * count) if j != i}
        losses.append(torch.log(sum(torch.exp(score) for score in scores.values())) - scores[partner])
    return sum(losses) / len(losses)


def views() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(9, 4, generator=generator).mul(0.8).requires_grad_() for _ in range(2)]


def doubled(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.detach().double().requires_grad_() for tensor in tensors]


def test_vicreg_equals_a_slow_twin_in_float64_gradients_included():
    pair = views()
    terms = vicreg_terms(*pair)
    wide = doubled(pair)
    expected = slow_vicreg(*wide)
    assert [term.item() for term in terms] == pytest.approx([term.item() for term in expected], rel=1e-5)
    for term, slow in zip(terms, expected, strict=True):
        ours = torch.autograd.grad(term, pair, retain_graph=True)
        theirs = torch.autograd.grad(slow, wide, retain_graph=True)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one.double(), other, atol=1e-6, rtol=1e-4)


def test_nt_xent_equals_a_slow_twin_in_float64_gradients_included():
    pair = views()
    loss = nt_xent(*pair, 0.2)
    wide = doubled(pair)
    expected = slow_nt_xent(*wide, 0.2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for one, other in zip(torch.autograd.grad(loss, pair), torch.autograd.grad(expected, wide), strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-6, rtol=1e-4)


def test_chance_and_agreement_are_told_apart():
    same = torch.eye(8)
    assert nt_xent(same, same, 0.05).item() == pytest.approx(0, abs=1e-6)
    assert nt_xent(torch.ones(8, 3), torch.ones(8, 3), 0.05).item() == pytest.approx(math.log(15), rel=1e-5)
    invariance, variance, _ = vicreg_terms(torch.ones(8, 3), torch.ones(8, 3))  # collapsed: all are one
    assert (invariance.item(), variance.item()) == (0, pytest.approx(0.99))


@pytest.mark.parametrize("kind", ["vicreg", "nt-xent"])
def test_two_processes_compare_all_crops_and_their_mean_gradient_is_that_of_one(kind, monkeypatch):
    config = ClipsConfig(weight=1.0, kind=kind, width=12)
    tokens = torch.randn(16, SMALL.tokens, SMALL.width)
    head = ClipHead(SMALL, config, ALONE)
    expected = torch.autograd.grad(head(tokens), head.parameters())
    frames = tokens.unflatten(1, (-1, SMALL.grid_bands)).flatten(2).mean(1)
    projected = head.projector(frames).detach()
    monkeypatch.setattr(World, "gather_rows", lambda _, __: list(projected.clone().split(8)))
    gradients = []
    for rank in range(2):
        of_rank = ClipHead(SMALL, config, World(rank, 2, torch.device("cpu")))
        of_rank.load_state_dict(head.state_dict())
        loss = of_rank(tokens[8 * rank : 8 * rank + 8])
        assert loss.item() == pytest.approx(head(tokens).item(), rel=1e-5)
        gradients.append(torch.autograd.grad(loss, of_rank.parameters()))
    for one, other, whole in zip(*gradients, expected, strict=True):
        torch.testing.assert_close((one + other) / 2, whole, atol=1e-6, rtol=1e-4)


def test_a_batch_has_two_crops_of_each_record_side_by_side(shards):
    opened = open_shards(shards)
    single, paired = (CropReader(opened, SMALL, 0, crops=crops) for crops in (1, 2))
    records = np.arange(len(opened))
    one, two = single.read(3, records), paired.read(3, records)
    assert torch.equal(two.windows[0::2], one.windows)
    assert torch.equal(two.keys[0::2], one.keys)
    assert len(set(two.keys.tolist())) == 2 * len(opened)
    places = [not torch.equal(a, b) for a, b in two.windows.unflatten(0, (-1, 2))]
    assert sum(places) > len(opened) // 2
    part = paired.read(3, records[4:6])
    assert torch.equal(part.windows, two.windows[8:12])
    plan = BatchPlan(tuple(opened.starts.tolist()), 12, 0, 16, crops=2)
    assert (plan.step_records, plan.steps_per_epoch) == (6, 3)


def test_batches_that_are_too_small_are_refused_before_the_first_step(shards, tmp_path):
    def config(total, most):
        return small_config(
            2,
            objective=ObjectiveConfig(clips=ClipsConfig(weight=1.0)),
            optimiser=OptimiserConfig(learning_rate=1e-3, global_batch=total, micro_batch=most),
        )

    expected = r"compares the 4 recordings of one forward pass .* at least 8: raise optimiser\.global_batch=32 and .*=8"
    with pytest.raises(ConfigError, match=expected):
        pretrain(config(32, 8), shards, tmp_path)
    assert not (tmp_path / "run.json").exists()
    assert crops_per_step(config(16, 8), 2) == 1  # four recordings in each of two processes
    with pytest.raises(ConfigError, match="5 crops in one forward pass are not 2 of each recording"):
        crops_per_step(config(30, 5), 1)
    with pytest.raises(DataError, match=r"19 records are fewer than one global batch of 64 crops \(2 of each record\)"):
        pretrain(config(64, 64), shards, tmp_path)


def test_mistakes_are_explained():
    with pytest.raises(ConfigError, match=r"objective\.clips\.kind='simclr': expected one of vicreg, nt-xent"):
        ClipsConfig(kind="simclr")
    for wrong in ({"weight": -1.0}, {"width": 0}, {"temperature": 0.0}, {"covariance": -0.1}):
        with pytest.raises(ConfigError, match=r"objective\.clips\.\w+=.*: expected"):
            replace(ClipsConfig(), **wrong)
