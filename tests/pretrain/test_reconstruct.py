"""A clip with hidden patches, predicted: what is said and drawn of it depends on what the model was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from axlstm.checkpoints.own import Checkpoint
from axlstm.hub import create_model
from axlstm.pretrain.config import ObjectiveConfig
from axlstm.pretrain.reconstruct import Reconstruction, reconstruct_clip
from tests.seeded import audio


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return create_model("axlstm-tiny", depth=2, width=32, heads=2).checkpoint


def reconstruct(checkpoint: Checkpoint, training: dict[str, Any]) -> Reconstruction:
    trained = replace(checkpoint, training=training)
    return reconstruct_clip(trained, audio(2.0, 0), ObjectiveConfig())


def pictures(result: Reconstruction) -> list[Any]:
    """Input, masked input and prediction of the first window, ``(bands, frames)``."""
    return [axis.images[0].get_array() for axis in result.figure.axes[:3]]


def test_visible_patches_are_predicted_too_as_the_published_loss_asks(checkpoint: Checkpoint) -> None:
    result = reconstruct(checkpoint, {})
    given, _, predicted = pictures(result)
    assert not np.isclose(given, predicted).any(axis=1).all()
    assert result.visible_error is not None
    assert f"on visible ones {result.visible_error:.4f}; predicting the mean gives {result.mean_error:.4f}" in str(
        result
    )


def test_what_a_model_was_not_asked_is_neither_drawn_nor_told(checkpoint: Checkpoint) -> None:
    result = reconstruct(checkpoint, {"config": {"objective": {"loss": "masked"}}})
    given, seen, predicted = (np.ma.filled(np.ma.masked_invalid(picture), np.nan) for picture in pictures(result))
    hidden = np.isnan(seen)
    assert 0.4 < hidden.mean() < 0.6
    np.testing.assert_array_equal(predicted[~hidden], given[~hidden])
    assert not np.isclose(predicted[hidden], given[hidden], atol=1e-3).all()
    assert result.visible_error is None
    assert result.hidden_error == reconstruct(checkpoint, {}).hidden_error
    assert "visible" not in str(result)
