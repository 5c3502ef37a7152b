"""Predict the hidden patches of a clip with a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.audio.logmel import LogMel, normalise
from axlstm.checkpoints.own import Checkpoint
from axlstm.errors import TrainingError
from axlstm.model.patches import random_mask, undo_patch_normalisation
from axlstm.pretrain.config import Loss, ObjectiveConfig
from axlstm.pretrain.figures import reconstruction_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Reconstruction(NamedTuple):
    """The picture, and mean squared errors: on hidden patches, on visible ones, and of predicting the mean.

    There is no error on visible patches where the model's loss left them out.
    """

    figure: Figure
    hidden_error: float
    visible_error: float | None
    mean_error: float

    def __str__(self) -> str:
        """Return the errors as a sentence."""
        visible = "" if self.visible_error is None else f", on visible ones {self.visible_error:.4f}"
        return (
            f"error on hidden patches {self.hidden_error:.4f}{visible}; predicting the mean gives {self.mean_error:.4f}"
        )


def reconstruct_clip(
    checkpoint: Checkpoint,
    waveform: NDArray[np.float32],
    objective: ObjectiveConfig,
    *,
    seed: int = 0,
    most_windows: int = 4,
) -> Reconstruction:
    """Hide patches of a clip's windows and let the model predict all of them.

    The clip is normalised and tiled when short, as in training. A model trained on normalised patches (its
    checkpoint says so) predicts contrasts only: they are drawn at each patch's own level. What a model predicts of
    visible patches counts if its loss was over all.

    Args:
        waveform: 16 kHz mono, ``(n,)``.

    Raises:
        AudioError: fewer samples than one STFT window.
        TrainingError: a checkpoint without a prediction that could be drawn (``most_windows`` below 1).
    """
    if most_windows < 1:
        raise TrainingError(f"windows={most_windows}: expected at least 1")
    config = checkpoint.model.config
    logmel = normalise(LogMel(checkpoint.frontend)(torch.from_numpy(waveform)), unbiased=False)  # (frames, bands)
    if len(logmel) < config.window_frames:
        logmel = logmel.repeat(-(-config.window_frames // len(logmel)), 1)[: config.window_frames]
    count = min(most_windows, len(logmel) // config.window_frames)
    windows = logmel[: count * config.window_frames].reshape(count, config.window_frames, -1)  # (W, frames, bands)
    generator = torch.Generator().manual_seed(seed)
    mask = random_mask(count, config, objective.mask_ratio, objective.masking, generator)  # (W, tokens)
    model = checkpoint.model.eval()
    with torch.inference_mode():
        _, prediction, target, _ = model(windows, mask)
    if _normalised_targets(checkpoint.training):
        prediction = undo_patch_normalisation(prediction, windows, config)
    error = (prediction.float() - target).square().mean(-1)  # (W, tokens)
    loss = _trained_loss(checkpoint.training)
    window_s = config.window_frames * checkpoint.frontend.hop_samples / checkpoint.frontend.sample_rate_hz
    times = [f"{window_s * index:g} s" for index in range(count)]
    return Reconstruction(
        reconstruction_figure(windows, mask, prediction, config, loss, times),
        float(error[mask].mean()) if mask.any() else 0.0,
        float(error[~mask].mean()) if loss == "all" else None,
        float(target.var(correction=0)),
    )


def _trained_loss(training: Any) -> Loss:
    """Tell over which patches the loss was; the release's is over all."""
    try:
        return "masked" if training["config"]["objective"]["loss"] == "masked" else "all"
    except (KeyError, TypeError):
        return "all"


def _normalised_targets(training: Any) -> bool:
    """Tell whether a checkpoint was trained on normalised patches, by our arguments or the release's."""
    try:
        return bool(training["config"]["objective"]["normalise_targets"])
    except (KeyError, TypeError):
        args = training.get("args") if hasattr(training, "get") else None
        return bool(args.get("norm_pix_loss", False)) if isinstance(args, dict) else False
