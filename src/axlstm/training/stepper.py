"""Do one optimiser step: forward and backward over all parts of a batch, agreed upon by all processes."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from axlstm.devices import find_dtype
from axlstm.errors import ConfigError, DataError
from axlstm.training.config import RunConfig
from axlstm.training.position import Position
from axlstm.training.world import World

logger = logging.getLogger(__name__)


class AnyBatch(Protocol):
    """A part of a step's data: ``skipped`` has a line for everything that could not be read."""

    @property
    def skipped(self) -> Sequence[str]: ...


class AnyLosses(Protocol):
    """The loss that is trained, ``total ()``, and its parts by name, without their weights."""

    @property
    def total(self) -> Tensor: ...
    @property
    def parts(self) -> Mapping[str, Tensor]: ...


BatchT = TypeVar("BatchT", bound=AnyBatch)


class StepResult(NamedTuple):
    """Mean loss over the global batch, norm of its gradient before clipping, whether the weights were updated,
    records that could not be read, whether any process asks to stop, and each objective's own mean loss."""

    loss: float
    gradient_norm: float
    updated: bool
    skipped_records: int
    stop: bool
    parts: dict[str, float]


class BaseStepper(ABC, Generic[BatchT]):
    """A network with its optimiser and loss scaler, one process's share of the work at a time.

    A subclass says how a batch becomes losses, and which files hold the model. Each group of the optimiser may have a
    ``scale`` of its own, which the learning rate is multiplied by.

    Args:
        network: what is trained, on the device of ``world``.
        names: of the losses.
        unused: whether some of its parameters have no gradient in some steps.
    """

    model_files: tuple[str, ...]
    """The files that `save_model` writes, which a run links where its model is to be found."""

    def __init__(
        self,
        network: nn.Module,
        optimiser: Optimizer,
        config: RunConfig,
        world: World,
        names: Sequence[str],
        *,
        parts: int,
        unused: bool = False,
    ) -> None:
        self.settings, self.world, self.optimiser, self.parts = config, world, optimiser, parts
        scaled = config.hardware.precision == "float16"
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=scaled)
        self._names = tuple(names)
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._alone = self._network = network
        if world.size > 1:
            ids = [world.device.index] if world.device.type == "cuda" else None
            self._network = DistributedDataParallel(network, device_ids=ids, find_unused_parameters=unused)
            self._settle_buckets()

    @abstractmethod
    def losses(self, network: nn.Module, batch: BatchT) -> AnyLosses:
        """Compute the losses of a batch in training. ``network`` is the one that was given, or shares its gradients."""

    @abstractmethod
    def zeros(self) -> BatchT:
        """Return a batch that stands in for one that cannot be read."""

    @abstractmethod
    def save_model(self, folder: Path, facts: Mapping[str, Any], step: int) -> None:
        """Write `model_files`, for whoever loads the model."""

    @abstractmethod
    def read_model(self, folder: Path) -> Mapping[str, Tensor]:
        """Read back what `load_model` takes; errors are those of a damaged checkpoint."""

    @abstractmethod
    def load_model(self, weights: Mapping[str, Tensor]) -> None:
        """Bring the weights to what `read_model` gave."""

    def published(self, position: Position) -> dict[str, int | None]:
        """Return the step whose model each folder below the run's own holds; ``""`` is the run's own."""
        return {"": position.step, "best": position.best_step}

    def update_done(self, updated: bool, progress: float) -> None:
        """Do what follows an update of the weights, or a step without one.

        Args:
            progress: share of the run that is done.
        """

    def further_state(self) -> dict[str, Any]:
        """Return what else belongs to the state of a run."""
        return {}

    def load_further_state(self, state: Mapping[str, Any]) -> None:
        """Invert `further_state`."""

    def _settle_buckets(self) -> None:
        """Run one pass on zeros. After its first pass DDP orders its buckets anew, and with them the sums between
        more than two processes: a resumed run would differ from one that was not interrupted in its first step."""
        for _ in range(2):
            self.losses(self._network, self.zeros()).total.backward()
        self.optimiser.zero_grad()
        self.update_done(False, 0.0)

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in the configured precision."""
        dtype = find_dtype(self.settings.hardware.precision)
        return nullcontext() if dtype is torch.float32 else torch.autocast(self.world.device.type, dtype=dtype)

    def step(self, batches: Iterator[BatchT], learning_rate: float, stop: bool, progress: float = 0.0) -> StepResult:
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
            group["lr"] = learning_rate * group.get("scale", 1.0)
        self.optimiser.zero_grad(set_to_none=True)
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.world.device)
        part_sums = {name: torch.zeros_like(loss_sum) for name in self._names}
        skipped = 0
        failure: Exception | None = None
        for part in range(self.parts):
            try:
                batch = next(batches) if failure is None else self.zeros()
            except (DataError, OSError) as error:
                failure, batch = error, self.zeros()
                if self.world.size == 1:
                    raise
            skipped += len(batch.skipped)
            for line in batch.skipped:
                logger.warning("skipped %s", line)
            last = part == self.parts - 1
            distributed = isinstance(self._network, DistributedDataParallel)
            with self._network.no_sync() if distributed and not last else nullcontext():  # type: ignore[operator]
                losses = self.losses(self._network, batch)
                loss = losses.total / self.parts
                self.scaler.scale(loss).backward()
            loss_sum += loss.detach()
            for name, value in losses.parts.items():
                part_sums[name] += value.detach() / self.parts
        self.scaler.unscale_(self.optimiser)
        limit = self.settings.optimiser.clip_norm or torch.inf
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
        self.update_done(updated, progress)
        parts = {name: loss / self.world.size for name, loss in zip(part_sums, part_losses, strict=True)}
        return StepResult(total_loss / self.world.size, float(norm), updated, int(skipped_records), stops > 0, parts)


def parts_per_step(config: RunConfig, world_size: int) -> int:
    """Return the forward passes of each process in a step: the fewest of at most ``micro_batch`` crops each.

    Raises:
        ConfigError: a global batch that the processes cannot share evenly.
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
    return parts
