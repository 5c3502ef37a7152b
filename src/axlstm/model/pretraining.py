"""Join the encoder and its prediction head, and compute the loss of masked-patch pretraining."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.encoder import Encoder
from axlstm.model.patches import patch_targets
from axlstm.options import Loss, check_choice


class Prediction(NamedTuple):
    """A loss ``()``, and prediction and target ``(B, tokens, patch_pixels)``; the target is the input's own pixels.

    ``tokens (B, tokens, D)`` is the encoder's output, for further losses of the same pass.
    """

    loss: Tensor
    prediction: Tensor
    target: Tensor
    tokens: Tensor


class MaskedPatchModel(nn.Module):
    """An encoder, and a head that predicts the log-mel values of every patch. The weights start uninitialised."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = nn.Sequential(
            nn.Linear(config.width, config.width), nn.GELU(), nn.Linear(config.width, config.patch_pixels)
        )

    @classmethod
    def initialised(cls, config: ModelConfig, seed: int = 0) -> MaskedPatchModel:
        """Make a model with fresh weights; the global random state does not change."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = cls(config)
            model.reset_parameters()
        return model

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw fresh weights as the release initialises them, from torch's global generator."""
        self.encoder.reset_parameters()
        for layer in self.head:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()

    def forward(
        self,
        windows: Tensor,
        mask: Tensor,
        *,
        loss: Loss = "all",
        normalise_targets: bool = False,
        clean: Tensor | None = None,
    ) -> Prediction:
        """Predict every patch of ``windows (B, frames, bands)`` with those of ``mask (B, tokens)`` hidden.

        Args:
            mask: true (or 1) where a patch is hidden.
            loss: mean squared error over ``"all"`` patches, visible ones included (as released), or over
                the ``"masked"`` ones only (as the paper's text has it).
            normalise_targets: bring each target patch to zero mean and unit deviation first.
            clean: windows to predict where they are others than those that are seen.

        Raises:
            ConfigError: an unknown loss, or a mask of the wrong shape.
        """
        check_choice("loss", loss, Loss)
        target = patch_targets(
            windows if clean is None else clean, self.config, normalise_targets
        )  # (B, tokens, pixels)
        if mask.shape != target.shape[:2]:
            raise ConfigError(f"mask: expected {tuple(target.shape[:2])}, got {tuple(mask.shape)}")
        tokens = self.encoder(windows, mask)  # (B, tokens, D)
        prediction = self.head(tokens)  # (B, tokens, pixels)
        error = (prediction.float() - target.float()).square().mean(dim=-1)  # (B, tokens)
        if loss == "masked":
            hidden = mask.to(error.dtype)
            return Prediction((error * hidden).sum() / hidden.sum().clamp_min(1), prediction, target, tokens)
        return Prediction(error.mean(), prediction, target, tokens)


def count_parameters(model: nn.Module, *, trainable: bool = True) -> int:
    """Count the parameters of a model, those of a prediction head included; only the trained ones, or all."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or not trainable)


def parameter_count(config: ModelConfig) -> int:
    """Count the parameters of a configuration's model without making it."""
    with torch.device("meta"):
        return count_parameters(MaskedPatchModel(config))
