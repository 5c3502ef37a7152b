"""Do one optimiser step: forward and backward over all parts of a batch, agreed upon by all processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from axlstm.data.order import sample_key
from axlstm.data.reader import Batch, LogMelBatch, Taught, WindowMaker
from axlstm.devices import find_dtype
from axlstm.errors import ConfigError, DataError
from axlstm.model.config import ModelConfig
from axlstm.model.patches import patch_targets, random_mask
from axlstm.model.pretraining import MaskedPatchModel, Prediction
from axlstm.pretrain.config import ObjectiveConfig, PretrainConfig
from axlstm.pretrain.objectives.latent import EMATeacher
from axlstm.pretrain.objectives.network import Losses, Targets, TrainedNetwork
from axlstm.pretrain.optimiser import make_optimiser
from axlstm.pretrain.world import World

logger = logging.getLogger(__name__)

_LEAST_RECORDINGS = 8  # whose crops are compared; with fewer, variances and negatives mean almost nothing


class StepResult(NamedTuple):
    """Mean loss over the global batch, norm of its gradient before clipping, whether the weights were updated,
    records that could not be read, whether any process asks to stop, and each objective's own mean loss."""

    loss: float
    gradient_norm: float
    updated: bool
    skipped_records: int
    stop: bool
    parts: dict[str, float]


class Stepper:
    """A model with its optimiser and loss scaler, one process's share of the work at a time.

    Args:
        teachers: the size of each teacher's embeddings.
    """

    def __init__(
        self, model: MaskedPatchModel, config: PretrainConfig, world: World, teachers: Sequence[int] = ()
    ) -> None:
        self.config, self.world, self._teachers = config, world, teachers
        self.model = model.to(world.device)
        network = TrainedNetwork(self.model, config.objective, world, config.seed, teachers)
        self.heads = network.heads
        latent = config.objective.latent
        self.teacher = EMATeacher(self.model.encoder, latent) if latent.active else None
        self.optimiser = make_optimiser(self.model, config.optimiser, self.heads)
        scaled = config.hardware.precision == "float16"
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=scaled)
        self.parts = parts_per_step(config, world.size)
        self._windows = WindowMaker(world.device)
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        if config.hardware.checkpoint_activations:
            for block in self.model.encoder.blocks:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if config.hardware.compile:
            self.model.compile()
        self._network: nn.Module = network
        self._alone = network
        if world.size > 1:
            ids = [world.device.index] if world.device.type == "cuda" else None
            self._network = DistributedDataParallel(network, device_ids=ids)
            self._settle_buckets()

    def _settle_buckets(self) -> None:
        """Run one pass on zeros. After its first pass DDP orders its buckets anew, and with them the sums between
        more than two processes: a resumed run would differ from one that was not interrupted in its first step."""
        for _ in range(2):
            self._forward(self._network, self._zeros(), training=True).total.backward()
        self.optimiser.zero_grad()
        if self.teacher is not None:
            self.teacher.forget()

    def _zeros(self) -> Batch:
        """Return a batch of zeros: as many crops as any batch where processes compare crops, and else one."""
        model = self.config.model
        per_pass = self.config.optimiser.global_batch // (self.parts * self.world.size)
        rows = per_pass if self.config.objective.clips.weight else 1
        windows = torch.zeros(rows, model.window_frames, model.mel_bands)  # (B, frames, bands)
        absent = torch.zeros(rows, dtype=torch.bool)
        sizes = self._teachers
        taught = [Taught(torch.zeros(rows, model.grid_frames, n), torch.zeros(rows, n), absent) for n in sizes]
        return LogMelBatch(windows, torch.zeros(rows, dtype=torch.int64), [], tuple(taught))

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = find_dtype(self.config.hardware.precision)
        return nullcontext() if dtype is torch.float32 else torch.autocast(self.world.device.type, dtype=dtype)

    def _forward(self, network: nn.Module, batch: Batch, training: bool) -> Losses:
        """Compute the losses of a batch. In training each crop has all its masks, its partner, and a part in the
        moments of the EMA teacher."""
        masks = self.config.objective.latent.masks if training else 1
        windows, mask = self._inputs(batch, masks)
        with self._autocast():
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
        return [name for name in self._alone.names if name != "clips"]

    @torch.no_grad()
    def held_out_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Compute each objective's loss of a batch, without gradients."""
        return self._forward(self._alone, batch, training=False).parts

    def crops_with_targets(self, batch: Batch) -> dict[str, int]:
        """Count the crops of a batch that have targets, for each of the losses of `held_out_losses`."""
        counts = dict.fromkeys(self.held_out_names, len(batch.keys))
        for number, taught in enumerate(batch.taught):
            present = int(taught.present.sum())
            counts |= {name: present for name in self._alone.teacher_names(number) if name in counts}
        return counts

    @torch.no_grad()
    def predict(self, batch: Batch) -> tuple[Tensor, Tensor, Prediction]:
        """Return windows ``(B, frames, bands)``, masks ``(B, tokens)`` and prediction of a batch, without gradients."""
        windows, mask = self._inputs(batch)
        with self._autocast():
            return windows, mask, self.model(windows, mask)

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Return the targets of a batch: ``(B, tokens, pixels)``."""
        objective = self.config.objective
        return patch_targets(self._windows(batch), self.config.model, objective.normalise_targets)

    def step(self, batches: Iterator[Batch], learning_rate: float, stop: bool, progress: float = 0.0) -> StepResult:
        """Take ``parts`` batches and update the weights once, unless loss or gradient is not finite anywhere.

        A batch that one process cannot read ends the step in all of them. Until then that process goes on with zeros in
        its place, since the others wait for its gradients.

        Args:
            stop: whether this process has been asked to end; the answer tells whether any has.
            progress: share of the run that is done after the step.

        Raises:
            DataError, OSError: the error of reading, whichever process met it.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.world.device)
        part_sums = {name: torch.zeros_like(loss_sum) for name in self._alone.names}
        skipped = 0
        failure: Exception | None = None
        for part in range(self.parts):
            try:
                batch = next(batches) if failure is None else self._zeros()
            except (DataError, OSError) as error:
                failure, batch = error, self._zeros()
                if self.world.size == 1:
                    raise
            skipped += len(batch.skipped)
            for line in batch.skipped:
                logger.warning("skipped %s", line)
            last = part == self.parts - 1
            distributed = isinstance(self._network, DistributedDataParallel)
            with self._network.no_sync() if distributed and not last else nullcontext():  # type: ignore[operator]
                losses = self._forward(self._network, batch, training=True)
                loss = losses.total / self.parts
                self.scaler.scale(loss).backward()
            loss_sum += loss.detach()
            for name, value in losses.parts.items():
                part_sums[name] += value.detach() / self.parts
        self.scaler.unscale_(self.optimiser)
        limit = self.config.optimiser.clip_norm or torch.inf
        norm = nn.utils.clip_grad_norm_(self._parameters, limit)
        finite = torch.isfinite(loss_sum) & torch.isfinite(norm)
        counts = (loss_sum.new_tensor(count) for count in (skipped, stop, failure is not None))
        notes = torch.stack([loss_sum, (~finite).double(), *counts, *part_sums.values()])
        total_loss, not_finite, skipped_records, stops, failures, *part_losses = self.world.sum(notes).tolist()
        if failures:
            with self.world.agreed():
                if failure is not None:
                    raise failure
        updated = not_finite == 0
        if updated:
            self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.teacher is not None:
            if updated:
                self.teacher.follow(self.model.encoder, progress, self.world)
            else:
                self.teacher.forget()
        parts = {name: loss / self.world.size for name, loss in zip(part_sums, part_losses, strict=True)}
        return StepResult(total_loss / self.world.size, float(norm), updated, int(skipped_records), stops > 0, parts)

    def objectives_state(self) -> dict[str, Any]:
        """Return what further objectives add to the state of a run: heads, and the EMA teacher."""
        state: dict[str, Any] = {"heads": self.heads.state_dict()} if len(self.heads) else {}
        return state | ({"teacher": self.teacher.state_dict()} if self.teacher is not None else {})

    def load_objectives_state(self, state: Mapping[str, Any]) -> None:
        """Invert `objectives_state`."""
        if len(self.heads):
            self.heads.load_state_dict(state["heads"])
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])


def parts_per_step(config: PretrainConfig, world_size: int) -> int:
    """Return the forward passes of each process in a step: the fewest of at most ``micro_batch`` crops each.

    Raises:
        ConfigError: a global batch that the processes cannot share evenly, or too few crops to compare in one pass.
    """
    total, most = config.optimiser.global_batch, config.optimiser.micro_batch
    if total % world_size:
        raise ConfigError(
            f"optimiser.global_batch={total} is not a multiple of the {world_size} processes; choose another"
        )
    share = total // world_size
    parts = -(-share // most)
    if share % parts:
        fitting = max(size for size in range(1, most + 1) if share % size == 0)
        raise ConfigError(
            f"a share of {share} crops for each of {world_size} processes cannot be cut into equal parts of at most "
            f"optimiser.micro_batch={most}; set --optimiser.micro-batch {fitting}"
        )
    size, crops = share // parts, config.objective.crops
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
