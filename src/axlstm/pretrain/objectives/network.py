"""The model and the heads of all objectives as one network: one forward pass, the weighted sum of all losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from axlstm.model.pretraining import MaskedPatchModel, Prediction
from axlstm.pretrain.config import ObjectiveConfig
from axlstm.pretrain.objectives.latent import LatentHeads, LatentTargets

_HEADS_SEED = 0x5EED  # beside the run's seed, so that no head begins with the encoder's numbers


class Targets(NamedTuple):
    """Targets of a batch of ``B`` crops, beside their own pixels; None where an objective is off."""

    latent: LatentTargets | None = None


class Losses(NamedTuple):
    """The weighted sum ``total`` that is trained, each loss by name without its weight, and the model's prediction."""

    total: Tensor
    parts: dict[str, Tensor]
    prediction: Prediction


class TrainedNetwork(nn.Module):
    """All that is trained: the model, which is published, and the heads of further objectives, which are not."""

    def __init__(self, model: MaskedPatchModel, config: ObjectiveConfig, seed: int) -> None:
        super().__init__()
        self.config, self.model = config, model
        self.heads = nn.ModuleDict()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed ^ _HEADS_SEED)
            if config.latent.active:
                self.heads["latent"] = LatentHeads(model.config, config.latent)
        self.heads.to(next(model.parameters()).device)
        latent = config.latent
        self._weights = {"pixels": config.pixel_weight}
        self._weights |= {"latent": latent.weight} if latent.weight else {}
        self._weights |= {"latent_clip": latent.clip_weight} if latent.clip_weight else {}

    @property
    def names(self) -> list[str]:
        """Names of all losses."""
        return list(self._weights)

    def forward(self, windows: Tensor, mask: Tensor, targets: Targets) -> Losses:
        """Compute all losses of ``M`` masks of ``B`` crops.

        Args:
            windows, mask: ``(M * B, frames, bands)`` and ``(M * B, tokens)``: all crops under one mask, then all under
                the next.
            targets: of the ``B`` crops.
        """
        options = {"loss": self.config.loss, "normalise_targets": self.config.normalise_targets}
        prediction: Prediction = self.model(windows, mask, **options)
        parts = {"pixels": prediction.loss}
        if targets.latent is not None:
            parts |= self.heads["latent"](prediction.tokens, mask, targets.latent)
        total = torch.stack([self._weights[name] * loss for name, loss in parts.items()]).sum()
        return Losses(total, parts, prediction)
