"""Windows of other lengths: the same weights, and what they compute at each length."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.lengths import model_at_length
from axlstm.model.patches import random_mask
from axlstm.model.pretraining import MaskedPatchModel

CONFIG = ModelConfig(depth=2, width=16, heads=2, patch_frames=20)


@pytest.mark.parametrize("family", ["axlstm", "ssast"])
@pytest.mark.parametrize("frames", [40, 200, 1000])
def test_a_view_is_the_model_that_was_made_for_that_length(family, frames):
    model = MaskedPatchModel.initialised(replace(CONFIG, family=family))
    other = MaskedPatchModel.initialised(replace(CONFIG, family=family, window_frames=frames))
    weights = {name: value for name, value in model.state_dict().items() if name != "encoder.positions"}
    other.load_state_dict(weights, strict=False)
    view = model_at_length(model, frames)
    windows, mask = torch.randn(2, frames, 80), random_mask(2, other.config)
    assert torch.equal(view(windows, mask).prediction, other(windows, mask).prediction)
    assert torch.equal(view.encoder.positions, other.encoder.positions)
    assert model.config.window_frames == 200
    assert model(torch.randn(2, 200, 80), random_mask(2, model.config)).loss.isfinite()


def test_a_view_trains_the_weights_of_its_model():
    model = MaskedPatchModel.initialised(CONFIG)
    view = model_at_length(model, 60)
    assert [id(p) for p in view.parameters()] == [id(p) for p in model.parameters()]
    view(torch.randn(2, 60, 80), random_mask(2, view.config)).loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        model.encoder.mask_token.add_(1)
    assert torch.equal(view.encoder.mask_token, model.encoder.mask_token)


def test_a_length_that_is_no_multiple_of_a_patch_is_refused():
    with pytest.raises(ConfigError, match="patch_frames=20 does not divide window_frames=50"):
        model_at_length(MaskedPatchModel.initialised(CONFIG), 50)
