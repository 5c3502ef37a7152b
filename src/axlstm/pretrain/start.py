"""Make the model that a run begins with: fresh, or with the weights of another model."""

from __future__ import annotations

from axlstm.audio.frontend import FrontendConfig
from axlstm.checkpoints.own import fingerprint
from axlstm.checkpoints.sources import find_checkpoint
from axlstm.errors import ConfigError, TrainingError, name_differences
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import PretrainConfig


def make_first_model(config: PretrainConfig) -> tuple[MaskedPatchModel, str]:
    """Return the model before its first step, and the SHA-256 of the weights that it was given; empty if fresh.

    Raises:
        ConfigError: ``config.weights`` names no model, or a published size without trained weights.
        CheckpointError: its weights cannot be read.
        TrainingError: its model or front end is another one; the settings that differ are named.
    """
    if not config.weights:
        return MaskedPatchModel.initialised(config.model, config.seed), ""
    checkpoint = find_checkpoint(config.weights)
    if not checkpoint.trained:
        raise ConfigError(f"weights={config.weights!r}: no trained weights; expected a trained model, or leave it out")
    there, here = checkpoint.model.config.to_dict(), config.model.to_dict()
    different = name_differences(there, here) or name_differences(
        checkpoint.frontend.to_dict(), FrontendConfig().to_dict()
    )
    if different:
        raise TrainingError(
            f"weights={config.weights!r}: another model than the one to train ({different}). "
            "Train a model of its sizes, or begin with fresh weights"
        )
    return checkpoint.model.train(), fingerprint(checkpoint.model, checkpoint.frontend)
