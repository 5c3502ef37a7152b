"""Make crops and masks into losses: what a step of pretraining computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from axlstm.checkpoints.own import Checkpoint, load_checkpoint
from axlstm.checkpoints.reading import MODEL_FILES
from axlstm.data.order import sample_key
from axlstm.data.reader import Batch, LogMelBatch, Taught, WindowMaker
from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.patches import patch_targets, random_mask
from axlstm.model.pretraining import MaskedPatchModel, Prediction
from axlstm.pretrain.config import ObjectiveConfig, PretrainConfig
from axlstm.pretrain.objectives.latent import EMATeacher
from axlstm.pretrain.objectives.network import Losses, Targets, TrainedNetwork
from axlstm.training.optimiser import make_optimiser
from axlstm.training.stepper import BaseStepper, parts_per_step
from axlstm.training.world import World

_LEAST_RECORDINGS = 8  # whose crops are compared; with fewer, variances and negatives mean almost nothing


class Stepper(BaseStepper[Batch]):
    """A model with its optimiser and loss scaler, one process's share of the work at a time.

    Args:
        teachers: the size of each teacher's embeddings.
    """

    model_files = MODEL_FILES

    def __init__(
        self, model: MaskedPatchModel, config: PretrainConfig, world: World, teachers: Sequence[int] = ()
    ) -> None:
        self.config, self._teachers = config, teachers
        self.model = model.to(world.device)
        network = TrainedNetwork(self.model, config.objective, world, config.seed, teachers)
        self.heads = network.heads
        latent = config.objective.latent
        self.teacher = EMATeacher(self.model.encoder, latent) if latent.active else None
        optimiser = make_optimiser(self.model, config.optimiser, self.heads)
        self._windows = WindowMaker(world.device)
        self._of_network = network
        if config.hardware.checkpoint_activations:
            for block in self.model.encoder.blocks:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if config.hardware.compile:
            self.model.compile()
        parts = crops_per_step(config, world.size)
        super().__init__(network, optimiser, config, world, network.names, parts=parts)

    def zeros(self) -> Batch:
        """Return a batch of zeros: as many crops as any batch where processes compare crops, and else one."""
        model = self.config.model
        per_pass = self.config.optimiser.global_batch // (self.parts * self.world.size)
        rows = per_pass if self.config.objective.clips.weight else 1
        windows = torch.zeros(rows, model.window_frames, model.mel_bands)  # (B, frames, bands)
        absent = torch.zeros(rows, dtype=torch.bool)
        sizes = self._teachers
        taught = [Taught(torch.zeros(rows, model.grid_frames, n), torch.zeros(rows, n), absent) for n in sizes]
        return LogMelBatch(windows, torch.zeros(rows, dtype=torch.int64), [], tuple(taught))

    def losses(self, network: nn.Module, batch: Batch) -> Losses:
        return self._forward(network, batch, training=True)

    def _forward(self, network: nn.Module, batch: Batch, training: bool) -> Losses:
        """Compute the losses of a batch. In training each crop has all its masks, its partner, and a part in the
        moments of the EMA teacher."""
        masks = self.config.objective.latent.masks if training else 1
        windows, mask = self._inputs(batch, masks)
        with self.autocast():
            latent = None if self.teacher is None else self.teacher.targets(windows, note=training)
            changed = batch.inputs if isinstance(batch, LogMelBatch) else None
            heard = windows if changed is None else changed.to(self.world.device, non_blocking=True)
            clean = None if changed is None else windows.repeat(masks, 1, 1)  # (masks * B, frames, bands)
            pairs = training and self.config.objective.clips.weight > 0
            targets = Targets(latent, self._taught(batch), pairs, clean)
            losses: Losses = network(heard.repeat(masks, 1, 1), mask, targets)
        return losses

    def _inputs(self, batch: Batch, masks: int = 1) -> tuple[Tensor, Tensor]:
        """Make windows ``(B, frames, bands)`` and masks ``(masks * B, tokens)`` of a batch."""
        objective, keys, windows = self.config.objective, repeated_keys(batch.keys, masks), self._windows(batch)
        model = replace(self.config.model, window_frames=windows.shape[1])
        return windows, masks_of(keys, model, objective).to(self.world.device, non_blocking=True)

    def _taught(self, batch: Batch) -> tuple[Taught, ...]:
        """Move the targets of all teachers to the device."""
        return tuple(Taught(*(part.to(self.world.device, non_blocking=True) for part in of)) for of in batch.taught)

    @property
    def held_out_names(self) -> list[str]:
        """Name the losses that `held_out_losses` gives: all but that of pairs of crops."""
        return [name for name in self._of_network.names if name != "clips"]

    @torch.no_grad()
    def held_out_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Compute each objective's loss of a batch, without gradients."""
        return self._forward(self._alone, batch, training=False).parts

    def crops_with_targets(self, batch: Batch) -> dict[str, int]:
        """Count the crops of a batch that have targets, for each of the losses of `held_out_losses`."""
        counts = dict.fromkeys(self.held_out_names, len(batch.keys))
        for number, taught in enumerate(batch.taught):
            present = int(taught.present.sum())
            counts |= {name: present for name in self._of_network.teacher_names(number) if name in counts}
        return counts

    @torch.no_grad()
    def predict(self, batch: Batch) -> tuple[Tensor, Tensor, Prediction]:
        """Return windows ``(B, frames, bands)``, masks ``(B, tokens)`` and prediction of a batch, without gradients."""
        windows, mask = self._inputs(batch)
        with self.autocast():
            return windows, mask, self.model(windows, mask)

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Return the targets of a batch: ``(B, tokens, pixels)``."""
        objective = self.config.objective
        return patch_targets(self._windows(batch), self.config.model, objective.normalise_targets)

    def update_done(self, updated: bool, progress: float) -> None:
        if self.teacher is None:
            return
        if updated:
            self.teacher.follow(self.model.encoder, progress, self.world)
        else:
            self.teacher.forget()

    def save_model(self, folder: Path, facts: Mapping[str, Any], step: int) -> None:
        Checkpoint(self.model, training=facts, name=f"axlstm-pretrain-step-{step}").save(folder)

    def read_model(self, folder: Path) -> Mapping[str, Tensor]:
        return load_checkpoint(folder).model.state_dict()

    def load_model(self, weights: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(weights)

    def further_state(self) -> dict[str, Any]:
        """Return what further objectives add to the state of a run: heads, and the EMA teacher."""
        state: dict[str, Any] = {"heads": self.heads.state_dict()} if len(self.heads) else {}
        return state | ({"teacher": self.teacher.state_dict()} if self.teacher is not None else {})

    def load_further_state(self, state: Mapping[str, Any]) -> None:
        if len(self.heads):
            self.heads.load_state_dict(state["heads"])
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])


def crops_per_step(config: PretrainConfig, world_size: int) -> int:
    """Return the forward passes of each process in a step: the fewest of at most ``micro_batch`` crops each.

    Raises:
        ConfigError: a global batch that the processes cannot share evenly, or too few crops to compare in one pass.
    """
    parts, crops = parts_per_step(config, world_size), config.objective.crops
    total, most = config.optimiser.global_batch, config.optimiser.micro_batch
    size = total // world_size // parts
    if size % crops:
        raise ConfigError(
            f"{size} crops in one forward pass are not {crops} of each recording, which objective.clips compares; "
            "choose even numbers for optimiser.global_batch and optimiser.micro_batch"
        )
    recordings = size * world_size // crops
    if crops > 1 and recordings < _LEAST_RECORDINGS:
        raise ConfigError(
            f"objective.clips compares the {recordings} recordings of one forward pass of all processes, which needs "
            f"at least {_LEAST_RECORDINGS}: raise optimiser.global_batch={total} and optimiser.micro_batch={most}"
        )
    return parts


def masks_of(keys: Tensor, model: ModelConfig, objective: ObjectiveConfig) -> Tensor:
    """Draw a mask from each of ``keys (B,)``: ``(B, tokens)`` bool, the same however a batch is split."""
    generator = torch.Generator()
    masks = [
        random_mask(1, model, objective.mask_ratio, objective.masking, generator.manual_seed(key))
        for key in keys.tolist()
    ]
    return torch.cat(masks)


def repeated_keys(keys: Tensor, masks: int) -> Tensor:
    """Return ``masks`` keys for each of ``keys (B,)``, those themselves first: ``(masks * B,)``."""
    further = [[sample_key(key, number, 0) - 2**63 for key in keys.tolist()] for number in range(1, masks)]
    return torch.cat([keys, *(torch.tensor(row, dtype=keys.dtype) for row in further)])
