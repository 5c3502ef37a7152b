"""Join the model and the heads of all objectives: one forward pass, the weighted sum of all losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from axlstm.data.reader import Taught
from axlstm.model.lengths import model_at_length
from axlstm.model.pretraining import MaskedPatchModel, Prediction
from axlstm.pretrain.config import ObjectiveConfig
from axlstm.pretrain.objectives.clips import ClipHead
from axlstm.pretrain.objectives.latent import LatentHeads, LatentTargets
from axlstm.pretrain.objectives.teachers import TeacherHead
from axlstm.training.world import World

_HEADS_SEED = 0x5EED  # beside the run's seed, so that no head begins with the encoder's numbers


class Targets(NamedTuple):
    """Targets of a batch of ``B`` crops, beside their own pixels; None where an objective is off.

    ``pairs`` tells whether the crops are two of each recording, to be compared. ``clean (M * B, frames, bands)`` are
    the windows to predict where the student hears something else.
    """

    latent: LatentTargets | None = None
    taught: tuple[Taught, ...] = ()
    pairs: bool = False
    clean: Tensor | None = None


class Losses(NamedTuple):
    """The weighted sum ``total`` that is trained, each loss by name without its weight, and the model's prediction."""

    total: Tensor
    parts: dict[str, Tensor]
    prediction: Prediction


class TrainedNetwork(nn.Module):
    """All that is trained: the model, which is published, and the heads of further objectives, which are not.

    Args:
        teachers: the size of each teacher's embeddings.
    """

    def __init__(
        self, model: MaskedPatchModel, config: ObjectiveConfig, world: World, seed: int, teachers: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.config, self.model = config, model
        self.heads = nn.ModuleDict()
        # By the frames of a window. Not modules of this one: they share the model's weights.
        self._lengths = {model.config.window_frames: model}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed ^ _HEADS_SEED)
            if config.latent.active:
                self.heads["latent"] = LatentHeads(model.config, config.latent)
            for number, (_, frames, clip) in enumerate(config.teachers.weighted):
                head = TeacherHead(model.config, teachers[number], frames > 0, clip > 0)
                self.heads[f"teacher_{number}"] = head
            if config.clips.weight:
                self.heads["clips"] = ClipHead(model.config, config.clips, world)
        self.heads.to(next(model.parameters()).device)
        latent = config.latent
        weights = {"pixels": config.pixel_weight, "latent": latent.weight, "latent_clip": latent.clip_weight}
        for number, (_, frames, clip) in enumerate(config.teachers.weighted):
            weights |= dict(zip(self.teacher_names(number), (frames, clip), strict=True))
        weights["clips"] = config.clips.weight
        self._weights = {name: weight for name, weight in weights.items() if weight or name == "pixels"}

    def teacher_names(self, number: int) -> tuple[str, str]:
        """Name the losses of a teacher's frames and clips after its folder, and its number where two share that."""
        folders = [Path(folder).name for folder in self.config.teachers.folders]
        name = folders[number] + (f"#{number}" if folders.count(folders[number]) > 1 else "")
        return f"teacher_frames_{name}", f"teacher_clip_{name}"

    @property
    def names(self) -> list[str]:
        """Name all losses."""
        return list(self._weights)

    def forward(self, windows: Tensor, mask: Tensor, targets: Targets) -> Losses:
        """Compute all losses of ``M`` masks of ``B`` crops.

        Args:
            windows, mask: ``(M * B, frames, bands)`` and ``(M * B, tokens)``: all crops under one mask, then all under
                the next.
            targets: of the ``B`` crops.
        """
        loss, normalise = self.config.loss, self.config.normalise_targets
        model = self._at_length(windows.shape[1])
        prediction: Prediction = model(windows, mask, loss=loss, normalise_targets=normalise, clean=targets.clean)
        parts = {"pixels": prediction.loss}
        if targets.latent is not None:
            parts |= self.heads["latent"](prediction.tokens, mask, targets.latent)
        for number, taught in enumerate(targets.taught):
            losses = self.heads[f"teacher_{number}"](prediction.tokens, taught)
            named = zip(self.teacher_names(number), losses, strict=True)
            parts |= {name: loss for name, loss in named if loss is not None}
        if targets.pairs:
            crops = len(prediction.tokens) // self.config.latent.masks  # under their first masks
            parts["clips"] = self.heads["clips"](prediction.tokens[:crops])
        total = torch.stack([self._weights[name] * loss for name, loss in parts.items()]).sum()
        return Losses(total, parts, prediction)

    def _at_length(self, window_frames: int) -> MaskedPatchModel:
        if window_frames not in self._lengths:
            self._lengths[window_frames] = model_at_length(self.model, window_frames)
        return self._lengths[window_frames]
