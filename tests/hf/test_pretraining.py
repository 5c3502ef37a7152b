"""The head of pretraining predicts what axlstm's own model predicts, with the same loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForPreTraining

from axlstm.checkpoints.own import load_checkpoint
from axlstm.errors import ConfigError
from axlstm.hf import AxLSTMConfig, AxLSTMForPreTraining
from axlstm.model.patches import random_mask
from axlstm.options import Loss

CONFIG = AxLSTMConfig(model={"depth": 2, "width": 16, "heads": 2, "window_frames": 40})


@pytest.mark.parametrize("loss", ["all", "masked"])
@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_loss_and_prediction_are_those_of_pretraining(family: str, loss: Loss, folders: dict[str, Path]) -> None:
    model, ours = AutoModelForPreTraining.from_pretrained(folders[family]), load_checkpoint(folders[family]).model
    torch.manual_seed(0)
    windows, mask = torch.randn(3, 40, 80), random_mask(3, ours.config)
    found, expected = model(windows, bool_masked_pos=mask, loss=loss), ours(windows, mask, loss=loss)
    assert (found.logits - expected.prediction).abs().max() <= 1e-6
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)


def test_longer_clips_are_several_windows(folder: Path) -> None:
    model = AutoModelForPreTraining.from_pretrained(folder)
    torch.manual_seed(0)
    clips = torch.randn(2, 80, 80)
    mask = random_mask(4, model.config.shape)
    found = model(clips, bool_masked_pos=mask.reshape(2, -1))
    expected = model(clips.reshape(4, 40, 80), bool_masked_pos=mask)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    assert found.logits.shape == (2, 100, 64)


def test_what_lies_behind_the_end_of_a_clip_has_no_say(folder: Path) -> None:
    model = AutoModelForPreTraining.from_pretrained(folder)
    torch.manual_seed(0)
    clip, mask = torch.randn(1, 40, 80), random_mask(2, model.config.shape)
    behind = torch.cat([clip, torch.full((1, 40, 80), 100.0)], dim=1)
    real = torch.cat([torch.ones(1, 40), torch.zeros(1, 40)], dim=1).long()
    found = model(behind, real, bool_masked_pos=mask.reshape(1, -1))
    expected = model(clip, bool_masked_pos=mask[:1])
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)


def test_half_of_the_patches_are_hidden_where_no_mask_is_given() -> None:
    out = AxLSTMForPreTraining(CONFIG)(torch.randn(2, 40, 80))
    assert out.bool_masked_pos.sum(dim=1).tolist() == [25, 25]
    assert bool(out.loss.isfinite())


def test_it_learns(folder: Path) -> None:
    model: Any = AutoModelForPreTraining.from_pretrained(folder).train()
    torch.manual_seed(0)
    windows, mask = torch.randn(4, 40, 80).cumsum(dim=1) / 5, random_mask(4, model.config.shape)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        loss = model(windows, bool_masked_pos=mask).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match="loss='some'"):
        AxLSTMForPreTraining(CONFIG)(torch.randn(1, 40, 80), loss="some")
