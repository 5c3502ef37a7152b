"""Encoder, prediction head and loss: the published numbers, and what the options mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from axlstm.audio.frontend import FrontendConfig
from axlstm.checkpoints.own import fingerprint
from axlstm.checkpoints.published import published_names
from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.patches import random_mask, to_patches
from axlstm.model.pretraining import MaskedPatchModel, count_parameters
from tests.conftest import PUBLISHED_TINY

SMALL = {"depth": 2, "width": 32, "heads": 2}


@pytest.mark.parametrize("name", PUBLISHED_TINY)
def test_prediction_loss_and_gradients_are_the_published_ones(
    name: str, golden: dict, published_shapes: dict, seeded_checkpoint: Callable
) -> None:
    model = seeded_checkpoint(name).model
    windows, mask = torch.from_numpy(golden["train/images"])[:, 0], torch.from_numpy(golden["train/mask"])
    out = model(windows, mask)
    np.testing.assert_allclose(out.prediction.detach(), golden[f"{name}/train/pred"], atol=2e-4)
    np.testing.assert_array_equal(out.target, golden["train/target"])
    assert abs(out.loss.item() - golden[f"{name}/train/loss"]) < 1e-6
    out.loss.backward()
    ours = {theirs: mine for mine, theirs in published_names(model.config).items()}
    gradients = dict(model.named_parameters())
    norms = [gradients[ours[theirs]].grad.norm().item() for theirs in published_shapes[f"{name}/grad_names"]]
    # 1e-8: the gradients of some gate biases cancel to 1e-5 of the others, and are rounding noise below that.
    np.testing.assert_allclose(norms, golden[f"{name}/train/grad_norm"], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_loss_over_all_or_masked_patches(family: str) -> None:
    model = MaskedPatchModel.initialised(ModelConfig(family=family, **SMALL))
    windows = torch.randn(3, 200, 80)
    mask = random_mask(3, model.config, 0.3)
    every, masked = model(windows, mask), model(windows, mask, loss="masked")
    errors = (every.prediction - to_patches(windows, model.config)).square()
    torch.testing.assert_close(every.loss, errors.mean())
    torch.testing.assert_close(masked.loss, errors[mask].mean())
    with pytest.raises(ConfigError, match="'some': expected one of all, masked"):
        model(windows, mask, loss="some")
    with pytest.raises(ConfigError, match=r"mask: expected \(3, 250\)"):
        model(windows, mask[:2])


def test_targets_normalised_per_patch() -> None:
    model = MaskedPatchModel.initialised(ModelConfig(**SMALL))
    target = model(torch.randn(2, 200, 80) * 4 + 3, random_mask(2, model.config), normalise_targets=True).target
    assert target.mean(dim=-1).abs().max() < 1e-5
    assert (target.std(dim=-1) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_hidden_patches_do_not_reach_the_prediction(family: str) -> None:
    model = MaskedPatchModel.initialised(ModelConfig(family=family, **SMALL))
    windows = torch.randn(1, 200, 80)
    mask = random_mask(1, model.config, 0.5, generator=torch.Generator().manual_seed(0))
    changed = windows.clone().reshape(1, 50, 4, 5, 16)
    hidden = mask.reshape(1, 50, 1, 5, 1).expand_as(changed)
    changed[hidden] += 10
    torch.testing.assert_close(
        model(windows, mask).prediction, model(changed.reshape(1, 200, 80), mask).prediction, rtol=0, atol=0
    )


@pytest.mark.parametrize(("masked_positions", "differ"), [(False, False), (True, True)])
def test_the_published_twin_cannot_tell_hidden_patches_apart(masked_positions: bool, differ: bool) -> None:
    """Its tokens without a position are all alike to attention, which knows no order."""
    model = MaskedPatchModel.initialised(ModelConfig(family="ssast", masked_positions=masked_positions, **SMALL))
    mask = random_mask(1, model.config, 0.5, generator=torch.Generator().manual_seed(0))
    predicted = model(torch.randn(1, 200, 80), mask).prediction[mask.bool()]  # (hidden, pixels)
    assert bool((predicted - predicted[0]).abs().max() > 1e-3) == differ


def test_embeddings_do_not_depend_on_the_position_of_hidden_patches() -> None:
    models = [
        MaskedPatchModel.initialised(ModelConfig(masked_positions=masked_positions, **SMALL))
        for masked_positions in (False, True)
    ]
    windows = torch.randn(1, 200, 80)
    torch.testing.assert_close(*(model.encoder(windows) for model in models), rtol=0, atol=0)
    assert len({fingerprint(model, FrontendConfig()) for model in models}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "axlstm", "cls_token": False},
        {"family": "ssast", "cls_token": False},
        {"family": "axlstm", "expansion": 3.0, "heads": 3},
        {"family": "axlstm", "patch_frames": 8, "patch_bands": 8, "window_frames": 96},
        {"family": "ssast", "mel_bands": 64, "expansion": 2.0},
    ],
)
def test_free_configurations_train(changes: dict) -> None:
    model = MaskedPatchModel.initialised(ModelConfig(**{**SMALL, **changes}))
    windows = torch.randn(2, model.config.window_frames, model.config.mel_bands)
    out = model(windows, random_mask(2, model.config))
    assert out.prediction.shape == (2, model.config.tokens, model.config.patch_pixels)
    out.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_hidden_states_of_every_layer(family: str) -> None:
    model = MaskedPatchModel.initialised(ModelConfig(family=family, **{**SMALL, "depth": 3}))
    windows = torch.randn(2, 200, 80)
    states = model.encoder.hidden_states(windows)
    assert len(states) == 4
    torch.testing.assert_close(states[0], model.encoder.embed_patches(windows)[:, 1:])
    torch.testing.assert_close(model.encoder.norm(states[-1]), model.encoder(windows))
    last, first = model.encoder.hidden_states(windows, [-1, 1])
    assert torch.equal(last, states[3])
    assert torch.equal(first, states[1])
    with pytest.raises(ConfigError, match="expected numbers from 0"):
        model.encoder.hidden_states(windows, [4])
    with pytest.raises(ConfigError, match="layers="):
        model.encoder.hidden_states(windows, [])


def test_initialisation_is_the_published_one() -> None:
    model = MaskedPatchModel.initialised(ModelConfig(depth=2), seed=3)
    layer = model.encoder.blocks[1].layer
    assert layer.up.weight.std().item() == pytest.approx((2 / (5 * 192)) ** 0.5, rel=0.02)
    assert layer.q.weight.std().item() == pytest.approx((2 / (5 * 192)) ** 0.5, rel=0.1)
    assert layer.down.weight.std().item() == pytest.approx(2 / 192**0.5, rel=0.02)
    assert layer.forget_gate.bias.tolist() == pytest.approx([3, 4, 5, 6])
    assert (layer.skip == 1).all()
    for zero in (layer.input_gate.weight, layer.forget_gate.weight, layer.head_norm, model.encoder.blocks[0].norm):
        assert (zero == 0).all()
    bound = (6 / (64 + 192)) ** 0.5
    assert model.encoder.patches.projection.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert model.encoder.cls_token.std().item() == pytest.approx(0.02, rel=0.2)
    ssast = MaskedPatchModel.initialised(ModelConfig(family="ssast", heads=3, depth=1, expansion=4.0))
    bound = (6 / (192 + 768)) ** 0.5
    assert ssast.encoder.blocks[0].mlp_in.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert (ssast.encoder.blocks[0].qkv.bias == 0).all()


def test_seeds_decide_the_weights_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, again, other = (MaskedPatchModel.initialised(ModelConfig(**SMALL), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head[0].weight, other.head[0].weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_trains_under_autocast(dtype: torch.dtype, family: str) -> None:
    model = MaskedPatchModel.initialised(ModelConfig(family=family, **SMALL))
    windows, mask = torch.randn(2, 200, 80), random_mask(2, model.config)
    expected = model(windows, mask).loss.item()
    with torch.autocast("cpu", dtype=dtype):
        loss = model(windows, mask).loss
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=0.02)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_count_parameters_leaves_out_what_is_not_trained() -> None:
    model = MaskedPatchModel(ModelConfig(**SMALL))
    total = count_parameters(model)
    model.encoder.requires_grad_(False)
    assert count_parameters(model) == sum(p.numel() for p in model.head.parameters())
    assert count_parameters(model, trainable=False) == total
