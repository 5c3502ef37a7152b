"""Fine-tune a model in a folder, step by step; a run that was interrupted is resumed exactly."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.bounds import parse_object
from axlstm.checkpoints.own import Checkpoint
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.errors import ConfigError, TrainingError, name_some
from axlstm.evaluate.reporting.interval import Interval
from axlstm.files import write_atomically
from axlstm.finetuning.augment import Augmenter
from axlstm.finetuning.background import read_background
from axlstm.finetuning.begin import fit_probe, measure, standardise
from axlstm.finetuning.clips import Parts, targets_of
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.events import judge_events
from axlstm.finetuning.finishing import write_outcome
from axlstm.finetuning.network import make_network
from axlstm.finetuning.outcome import judged_of, keep_probe
from axlstm.finetuning.predicting import Predicted, predict
from axlstm.finetuning.reading import (
    BatchMaker,
    ClipBatch,
    ClipReader,
    ClipsRead,
    TrainingOrder,
    check_clips,
    training_batches,
)
from axlstm.finetuning.scores import score, score_names
from axlstm.finetuning.stepper import FinetuneStepper
from axlstm.model.layouts import TimeLayout
from axlstm.model.pretraining import MaskedPatchModel, count_parameters
from axlstm.training.loop import SUMMARY_NAME, Opened, TrainingRun
from axlstm.training.meter import Meter
from axlstm.training.metrics import OnMetrics, count_bytes
from axlstm.training.optimiser import Schedule
from axlstm.training.position import Position
from axlstm.training.state import CHECKPOINTS_NAME, saved_steps

logger = logging.getLogger(__name__)

_MOST_CHECKED = 20_000  # clips that are all read before training
_MOST_WEIGHT = 20.0  # of the yes of a rare label
_MOST_VALUES = 2_000_000  # clips times labels up to which a validation has an interval


@dataclass
class FinetunePosition(Position):
    """The position of a fine-tuning: besides, the best validation, and how many have passed since."""

    best_score: float | None = None
    since_best: int = 0


class FinetuneRun(TrainingRun[FinetuneConfig, FinetunePosition]):
    """One fine-tuning in one process.

    Args:
        base: the model to begin with.
        given: a classifier whose head is begun with, where the configuration says so.
    """

    def __init__(
        self,
        opened: Opened,
        base: Checkpoint,
        given: Classifier | None,
        parts: Parts,
        data: Path,
        digest: str,
        on_metrics: OnMetrics | None,
    ) -> None:
        super().__init__(opened)
        config, world = self.config, self.world
        self.clips = parts
        self.names = score_names(parts.kind, config.stopping.score or parts.score)
        with world.agreed():
            self.base = _first_model(base, config)
            everything = (*parts.train, *parts.valid, *parts.test)
            reader = ClipReader(everything, self.base.frontend, config.clips.memory_mb)
            if len(everything) <= _MOST_CHECKED:
                check_clips(reader)
            background = read_background(config.augment, self.base.frontend)
        kind, count = parts.kind, len(parts.labels)
        scale = parts.value_scale if kind == "regression" else (0.0, 1.0)
        model = self.base.model.config
        self.maker = BatchMaker(reader, model, kind, count, scale)
        train, valid = len(parts.train), len(parts.valid)
        self.spans = {
            "train": range(train),
            "valid": range(train, train + valid),
            "test": range(train + valid, len(everything)),
        }
        layout = TimeLayout(model, self.base.frontend)
        with world.agreed():
            network = make_network(self.base.model, layout, kind, count, config)
        batch = config.optimiser.global_batch
        self.order = TrainingOrder(train, batch, config.seed, _shares(parts, config))
        crop_frames = round(100 * config.clips.crop_s)
        self.augmenter = Augmenter(
            config.augment, kind, crop_frames, (train, self._read_other), background, self.base.frontend.log_offset
        )
        schedule = Schedule.of(config.optimiser, config.schedule, self.order.steps_per_epoch)
        self.every_steps = max(1, round(config.stopping.every_epochs * self.order.steps_per_epoch))
        self.tuner = FinetuneStepper(
            self.base, network, parts, config, world, _label_weights(parts, config), self._window_s()
        )
        is_new = not saved_steps(self.workdir / CHECKPOINTS_NAME)
        self._take_up(self.tuner, schedule, FinetunePosition(), data, digest)
        self.tuner.is_finished = (self.workdir / SUMMARY_NAME).is_file()
        if is_new:
            self._begin(given)
        self._open_log(Meter(batch), on_metrics)
        if self.position.best_step is None and not self.position.step:
            self._validate(log=not count_bytes(self.workdir))
            self._save()

    def _window_s(self) -> float:
        """Return the length of windows that recordings are cut into: that of most training clips."""
        lengths = [len(self.maker.reader.read(i)) / 100 for i in self.spans["train"][: _MOST_CHECKED // 10]]
        return float(np.clip(round(float(np.median(lengths)), 1), 0.4, self.config.clips.crop_s))

    def _read_other(self, index: int) -> tuple[Tensor, NDArray[np.float32]]:
        clip = self.clips.train[index]
        target = targets_of([clip], self.clips.kind, len(self.clips.labels), self.maker.scale)[0]
        return self.maker.reader.read(index), target

    def _begin(self, given: Classifier | None) -> None:
        """Begin the head as configured; all processes compute the same."""
        network, config, kind = self.tuner.network, self.config, self.clips.kind
        network.eval()
        makers = {name: _some(self.maker, self.spans[name]) for name in ("train", "valid")}
        with self.world.agreed():
            train = measure(network, makers["train"], self.world.device, config.seed)
            standardise(network.head, train)
            if config.head.begin == "model":
                assert given is not None
                _take_head(network.head, given, self.clips)
            elif config.head.begin == "probe":
                valid = measure(network, makers["valid"], self.world.device, config.seed)
                fit_probe(network.head, train, valid, kind)
        if self.tuner.average is not None:
            self.tuner.average.load(dict(network.named_parameters()))
        if self.spans["test"]:
            predicted = predict(network, self.maker, self.spans["test"], self.world)
            with self.world.agreed():
                if self.world.is_main:
                    keep_probe(self.workdir, predicted)

    @property
    def has_ended(self) -> bool:
        return super().has_ended or self.position.since_best >= self.config.stopping.patience

    @contextmanager
    def _batches(self, total: int) -> Iterator[Iterator[ClipBatch]]:
        share = self.config.optimiser.global_batch // self.world.size // self.tuner.parts
        batches = training_batches(
            self.maker,
            self.order,
            self.augmenter,
            range(self.position.step, total),
            parts=self.tuner.parts,
            share=share,
            at=self.world.rank * share * self.tuner.parts,
        )
        self.tuner.network.train()
        with closing(batches):
            yield batches

    def _before_step(self) -> None:
        self.tuner.frozen = self.position.step < self.config.adapt.frozen_steps

    def _validate_if_due(self, at_end: bool) -> bool:
        return (at_end or self.position.step % self.every_steps == 0) and self._validate()

    def _validate(self, log: bool = True) -> bool:
        """Score the validation clips; returns whether the score is the highest (of equal ones, the loss the lowest)."""
        position = self.position
        with self.tuner.in_use(), self.tuner.autocast():
            predicted = predict(self.tuner.network, self.maker, self.spans["valid"], self.world)
        interval = self._score(predicted)
        position.validation_loss = predicted.loss
        values = {"validation_loss": predicted.loss, "validation_score": interval.mean}
        values |= {"validation_score_low": interval.low, "validation_score_high": interval.high}
        if log:
            self._write(values)
        self.meter.restart()
        reached = interval.mean if math.isfinite(interval.mean) else -math.inf
        best = -math.inf if position.best_score is None else position.best_score
        lower = position.best_loss is None or predicted.loss < position.best_loss
        is_best = position.best_step is None or reached > best or (reached == best and lower)
        if is_best and not position.nonfinite_in_a_row:
            position.best_score, position.best_loss = reached, predicted.loss
            position.best_step, position.since_best = position.step, 0
            return True
        position.since_best += 1
        return False

    def _score(self, predicted: Predicted) -> Interval:
        clips = self.clips.valid
        if self.clips.kind == "events":
            times = [self.maker.times_ms(self.maker.reader.read(i)) for i in self.spans["valid"]]
            return judge_events(self.names[0], clips, predicted.frames, times, self.clips.labels)
        judged = judged_of(self.clips, clips, predicted, self.maker.scale)
        if judged.scores.size > _MOST_VALUES:
            judged = replace(judged, groups=np.zeros(len(clips), np.int64))
        return score(self.names[0], judged)

    def _finish(self, total: int) -> dict[str, Any]:
        position, path = self.position, self.workdir / SUMMARY_NAME
        if self.tuner.is_finished:
            return {**parse_object(path.read_bytes()), "rank": self.world.rank}
        summary = {
            "finished": self.has_ended,
            "steps": position.step,
            "epochs": position.step / self.order.steps_per_epoch,
            "stopped_early": position.step < total,
            "best_step": position.best_step,
            "best_epoch": (position.best_step or 0) / self.order.steps_per_epoch,
            "validation_score": position.best_score,
            "score": self.names[0],
            "clips": {name: len(span) for name, span in self.spans.items()},
            "labels": list(self.clips.labels),
            "train_hours": position.train_seconds / 3600,
            "clips_per_second": position.step * self.order.batch / max(position.train_seconds, 1e-9),
            "nonfinite_steps": position.nonfinite_steps,
            "parameters": count_parameters(self.tuner.network),
            "processes": self.world.size,
            **self.facts,
        }
        with self.world.agreed():
            if self.world.is_main and self.has_ended:
                summary |= write_outcome(self.workdir, self.clips, self.maker, self.spans, self.names, self.config)
                content = json.dumps(summary, indent=2) + "\n"
                write_atomically(path, content.encode())
        return {**summary, "rank": self.world.rank}


def _first_model(base: Checkpoint, config: FinetuneConfig) -> Checkpoint:
    if not config.adapt.fresh:
        return base
    return replace(base, model=MaskedPatchModel.initialised(base.model.config, config.seed), trained=False)


def _some(maker: BatchMaker, span: range) -> BatchMaker:
    """Return a maker of some of the clips, whose reader shares what is in memory."""
    assert isinstance(maker.reader, ClipReader)
    return replace(maker, reader=ClipsRead(maker.reader, span))


def _shares(parts: Parts, config: FinetuneConfig) -> NDArray[np.float64] | None:
    """Return how often each training clip is drawn, so that labels are; None where each comes once."""
    if config.head.balance != "sampling":
        return None
    if parts.kind == "regression":
        raise ConfigError("head.balance='sampling': a regression has no labels; leave it out")
    often = np.bincount([number for clip in parts.train for number in clip.labels], minlength=len(parts.labels))
    plain = 1 / max(1, int(often.max()))
    return np.array([max((1 / often[n] for n in clip.labels), default=plain) for clip in parts.train])


def _label_weights(parts: Parts, config: FinetuneConfig) -> Tensor | None:
    if config.head.balance != "weights":
        return None
    if parts.kind == "regression":
        raise ConfigError("head.balance='weights': a regression has no labels; leave it out")
    targets = targets_of(parts.train, parts.kind, len(parts.labels))  # (n, K)
    yes, no = (np.nansum(values, axis=0) for values in (targets, 1 - targets))
    if parts.kind == "multiclass":
        return torch.from_numpy((len(targets) / np.maximum(yes, 1) / len(parts.labels)).astype(np.float32))
    return torch.from_numpy(np.clip(no / np.maximum(yes, 1), 1, _MOST_WEIGHT).astype(np.float32))


def _take_head(head: Any, given: Classifier, parts: Parts) -> None:
    """Let a head begin with that of a classifier.

    Raises:
        TrainingError: it has other labels, which are named, or another pooling.
    """
    if given.labels != parts.labels:
        there, here = set(given.labels), set(parts.labels)
        lost, new = name_some(sorted(there - here)) or "none", name_some(sorted(here - there)) or "none"
        raise TrainingError(
            f"the classifier has other labels than {parts.source}: in the classifier alone {lost}; in the data alone "
            f"{new}. Give head.begin=probe, which begins with the labels of the data"
        )
    if len(given.layers) != 1 or given.layers[0].weight.shape != tuple(head.linear.weight.shape):
        raise TrainingError("the classifier's head has other sizes; give its head.pooling, or head.begin=probe")
    with torch.no_grad():
        head.mean.copy_(torch.from_numpy(given.mean))
        head.deviation.copy_(torch.from_numpy(given.deviation))
        slope, offset = torch.from_numpy(given.slope).float(), torch.from_numpy(given.offset).float()
        head.linear.weight.copy_(slope[:, None] * torch.from_numpy(given.layers[0].weight))
        head.linear.bias.copy_(slope * torch.from_numpy(given.layers[0].bias) + offset)
        if head.attention is not None and given.attention is not None:
            head.attention.copy_(torch.from_numpy(given.attention))
