"""Make clips into losses: what a step of fine-tuning computes, and the files that hold its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.checkpoint import checkpoint

from axlstm.checkpoints.own import Checkpoint
from axlstm.checkpoints.reading import MODEL_FILES
from axlstm.collection.classifiers.classifier import DESCRIPTION, HEAD
from axlstm.finetuning.begin import losses_of
from axlstm.finetuning.classifier import make_classifier
from axlstm.finetuning.clips import Parts
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.network import MovingAverage, TunedNetwork, plain_weights
from axlstm.finetuning.reading import ClipBatch
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.training.optimiser import decays
from axlstm.training.position import Position
from axlstm.training.stepper import BaseStepper, parts_per_step
from axlstm.training.world import World


class ClipLoss(NamedTuple):
    """The mean loss of the clips of a batch."""

    total: Tensor

    @property
    def parts(self) -> dict[str, Tensor]:
        return {"clips": self.total}


class FinetuneStepper(BaseStepper[ClipBatch]):
    """A network of encoder and head, with its optimiser.

    Args:
        base: the model that is fine-tuned; the network's encoder is that of it.
        weights: of labels in the loss ``(K,)``, or None.
        window_s: of a clip, as a classifier tells it.
    """

    model_files = (*MODEL_FILES, HEAD, DESCRIPTION)

    def __init__(
        self,
        base: Checkpoint,
        network: TunedNetwork,
        parts: Parts,
        config: FinetuneConfig,
        world: World,
        weights: Tensor | None,
        window_s: float,
    ) -> None:
        self.base, self.clips, self.config = base, parts, config
        self.network = network.to(world.device)
        self.frozen = False
        self.is_finished = False
        self._weights = None if weights is None else weights.to(world.device)
        self._window_s = window_s
        self.average = MovingAverage(network, config.adapt.ema) if config.adapt.ema else None
        if config.hardware.checkpoint_activations:
            for block in network.encoder.blocks:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        super().__init__(
            network,
            make_optimiser(network, config),
            config,
            world,
            ["clips"],
            parts=parts_per_step(config, world.size),
            unused=config.adapt.frozen_steps > 0,
        )

    def losses(self, network: nn.Module, batch: ClipBatch) -> ClipLoss:
        device = self.world.device
        with self.autocast():
            scores, real = network(
                batch.windows.to(device, non_blocking=True), batch.counts, batch.frames, frozen=self.frozen
            )
        targets, kind = batch.targets.to(device), self.clips.kind
        smoothing = self.config.head.label_smoothing
        if kind == "events":
            each = losses_of(scores.flatten(0, 1), targets.flatten(0, 1), kind, self._weights, smoothing)
            each = each.unflatten(0, real.shape) * real  # (B, T)
            return ClipLoss((each.sum(dim=1) / real.sum(dim=1)).mean())
        return ClipLoss(losses_of(scores, targets, kind, self._weights, smoothing).mean())

    def zeros(self) -> ClipBatch:
        model, count = self.base.model.config, len(self.clips.labels)
        shape = (1, model.grid_frames, count) if self.clips.kind == "events" else (1, count)
        one, frames = torch.ones(1, dtype=torch.int64), torch.full((1,), model.grid_frames)
        return ClipBatch(torch.zeros(1, model.window_frames, model.mel_bands), one, frames, torch.zeros(shape))

    def update_done(self, updated: bool, progress: float) -> None:
        del progress
        if updated and self.average is not None:
            self.average.follow(self.network)

    def published(self, position: Position) -> dict[str, int | None]:
        """Publish the best model as the run's own, once; what a finished run has made of it stays."""
        best = position.step if position.best_step is None else position.best_step
        return {} if self.is_finished else {"": best}

    def save_model(self, folder: Path, facts: Mapping[str, Any], step: int) -> None:
        del step
        name = f"{self.base.name}-finetuned"
        with self.in_use():
            model = self.plain_model()
            tuned = replace(self.base, model=model, training=facts, name=name, trained=True)
            tuned.save(folder, beside=self.network.head.state_dict())
            classifier = make_classifier(tuned, self.network.head, self.clips, self._window_s)
        for file, content in classifier.files().items():
            (folder / file).write_bytes(content)

    def in_use(self) -> Any:
        """Let the network have the weights that are published for as long as the block lasts."""
        from contextlib import nullcontext

        return nullcontext() if self.average is None else self.average.in_place(self.network)

    def plain_model(self) -> MaskedPatchModel:
        """Return a model of the network's present encoder, on the CPU, with the base's prediction head."""
        weights = {f"encoder.{name}": value.cpu() for name, value in plain_weights(self.network.encoder).items()}
        model = MaskedPatchModel.initialised(self.base.model.config)
        head = {f"head.{name}": value.cpu() for name, value in self.base.model.head.state_dict().items()}
        model.load_state_dict(weights | head)
        return model

    def read_model(self, folder: Path) -> Mapping[str, Tensor]:
        del folder
        return {}  # the weights that are published may be averages: those that training goes on from are in the state

    def load_model(self, weights: Mapping[str, Tensor]) -> None:
        pass

    def further_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"network": self.network.state_dict()}
        return state | ({} if self.average is None else {"average": self.average.values})

    def load_further_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load(state["average"])


def make_optimiser(network: TunedNetwork, config: FinetuneConfig) -> AdamW:
    """Make AdamW with a learning rate for each block, which falls from the head down to the patches."""
    depth = len(network.encoder.blocks)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        room, _, rest = name.partition(".")
        if room == "head":
            scale = config.head.rate
        else:
            kind, _, below = rest.partition(".")
            layer = int(below.partition(".")[0]) + 1 if kind == "blocks" else depth + 1 if kind == "norm" else 0
            scale = config.adapt.layer_decay ** (depth + 1 - layer)
        decay = config.optimiser.weight_decay if decays(name, parameter) else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    made = [{"params": own, "weight_decay": decay, "scale": scale} for (scale, decay), own in groups.items()]
    settings = config.optimiser
    return AdamW(made, lr=settings.peak_learning_rate, betas=settings.betas, eps=settings.eps)
