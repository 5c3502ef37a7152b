"""Train an encoder from shards and a configuration; a run that was interrupted is resumed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from axlstm.audio.frontend import FrontendConfig
from axlstm.data.cache import open_cache
from axlstm.data.order import BatchPlan
from axlstm.data.reader import Batch, CropReader, micro_batches
from axlstm.data.shards import ShardSet, open_shards
from axlstm.data.teachers import Teacher
from axlstm.errors import DataError, name_differences
from axlstm.files import write_atomically
from axlstm.model.patches import undo_patch_normalisation
from axlstm.model.pretraining import count_parameters
from axlstm.pretrain.config import PretrainConfig, TeachersConfig
from axlstm.pretrain.figures import loss_figure, reconstruction_figure
from axlstm.pretrain.meter import make_meter
from axlstm.pretrain.start import make_first_model
from axlstm.pretrain.stepper import Stepper
from axlstm.pretrain.validation import Validation
from axlstm.remote import is_url
from axlstm.show.figures import save_figure
from axlstm.training.loop import SUMMARY_NAME, Opened, TrainingRun, opened_workdir
from axlstm.training.metrics import OnMetrics, read_metrics
from axlstm.training.optimiser import Schedule
from axlstm.training.position import Position

logger = logging.getLogger(__name__)

LOSS_FIGURE_NAME = "loss.png"
PICTURES_NAME = "reconstructions"


def pretrain(
    config: PretrainConfig, data: Path | str, workdir: Path, on_metrics: OnMetrics | None = None
) -> dict[str, Any]:
    """Train in ``workdir`` until the schedule ends or a signal comes; returns what ``summary.json`` holds.

    A workdir with checkpoints of the same run is resumed exactly. ``workdir`` itself loads with
    `axlstm.load_model` as the newest checkpoint, ``workdir/best`` as that of the lowest validation loss.

    Args:
        data: a folder of shards, or the URL of one, whose shards are read through a cache of ``reading.cache_gb``.
        on_metrics: called in the main process with the step and its numbers, every ``log.every_steps``.

    Raises:
        ConfigError: a device that is not there, float16 on a CPU, or a batch that the processes cannot share.
        DataError: shards that are missing, unreadable, too few, or made for another front end.
        TrainingError: a workdir of another run, checkpoints that cannot be read, or too many steps in a row whose loss
            or gradient is not finite.
        WriteError: the disk is full or fails.
        InUseError: another run is at work in ``workdir``.
    """
    with opened_workdir(config, workdir) as opened:
        # The run has no name here: whatever refers to the other processes ends with this call.
        return _Run(opened, data, on_metrics).train()


def _bring(data: Path | str, config: PretrainConfig) -> Path:
    """Return the folder of shards: the one that is given, or a cache of what lies behind a URL."""
    if not is_url(str(data)):
        return Path(data)
    reading = config.reading
    folder = None if reading.cache_folder is None else Path(reading.cache_folder)
    return open_cache(str(data), reading.cache_gb, folder, reading.shuffle_records)


class _Run(TrainingRun[PretrainConfig, Position]):
    """One run in one process."""

    def __init__(self, opened: Opened, data: Path | str, on_metrics: OnMetrics | None) -> None:
        super().__init__(opened)
        config, world, held = self.config, self.world, opened.held
        with world.agreed():
            folder = _bring(data, config)
            shards, held_out = open_shards(folder), open_shards(folder, "valid")
            _check_frontend(shards, config)
            starts = tuple(shards.starts.tolist())
            order = (config.seed, config.reading.shuffle_records, config.objective.crops, config.crop_frames)
            self.plan = BatchPlan(starts, config.optimiser.global_batch, *order)
            teachers = [open_teachers(config.objective.teachers, part) for part in (shards, held_out)]
            crops, inputs = config.objective.crops, config.objective.input
            readers = (
                CropReader(shards, config.model, config.seed, teachers[0], crops, inputs),
                CropReader(held_out, config.model, config.seed, teachers[1]),
            )
        self.reader, held_out_reader = (held.enter_context(closing(reader)) for reader in readers)
        schedule = Schedule.of(config.optimiser, config.schedule, self.plan.steps_per_epoch)
        sizes = [teacher.size for teacher in teachers[0]]
        with world.agreed():
            model, given = make_first_model(config)
        self.of_pixels = Stepper(model, config, world, sizes)
        self.validation = Validation(held_out_reader, config, world)
        if not len(self.validation) and world.is_main:
            logger.warning("%s holds no held-out records: there will be no validation loss", data)
        if config.model.family == "ssast" and not config.model.masked_positions and world.is_main:
            logger.warning(
                "as published, this transformer predicts the same for all hidden patches of a window, for they have no "
                "position; model.masked_positions gives them one"
            )
        self._take_up(self.of_pixels, schedule, Position(), data, fingerprint(shards, teachers[0], given))
        self.baseline = self.validation.baseline(self.of_pixels) if len(self.validation) else None
        self._open_log(make_meter(config, world), on_metrics)

    @contextmanager
    def _batches(self, total: int) -> Iterator[Iterator[Batch]]:
        batches = micro_batches(
            self.reader,
            self.plan,
            first_step=self.position.step,
            last_step=total,
            parts=self.stepper.parts,
            rank=self.world.rank,
            world_size=self.world.size,
            workers=self.config.reading.workers,
            prefetch=self.config.reading.prefetch,
            pin_memory=self.world.device.type == "cuda",
        )
        self.of_pixels.model.train()
        with closing(batches):
            yield batches

    def _validate_if_due(self, at_end: bool) -> bool:
        """Validate and draw where the step's number asks for it."""
        step, config, lowest = self.position.step, self.config, False
        if len(self.validation):
            if step % config.validation.every_steps == 0 or at_end:
                lowest = self._validate()
            if step % config.log.pictures_every_steps == 0 or at_end:
                with self.world.agreed():
                    if self.world.is_main:
                        self._draw()
        return lowest

    def _validate(self) -> bool:
        """Measure the validation loss, which is that of pixels; returns whether it is the lowest.

        Where pixels have no weight, no measure stays the same during the run, and the newest model counts as the best.
        """
        losses, position = self.validation.losses(self.of_pixels), self.position
        loss = losses.pop("pixels")
        position.validation_loss = loss
        self._write({"validation_loss": loss, **{f"validation_{name}": value for name, value in losses.items()}})
        self.meter.restart()
        lowest = position.best_loss is None or loss < position.best_loss or not self.config.objective.pixel_weight
        best = lowest and not position.nonfinite_in_a_row
        if best:
            position.best_loss, position.best_step = loss, position.step
        return best

    def _draw(self) -> None:
        windows, mask, prediction = self.validation.pictures(self.of_pixels)
        if self.config.objective.normalise_targets:
            prediction = undo_patch_normalisation(prediction, windows, self.config.model)
        folder = self.workdir / PICTURES_NAME
        folder.mkdir(exist_ok=True)
        figure = reconstruction_figure(windows, mask, prediction, self.config.model, self.config.objective.loss)
        save_figure(figure, folder / f"step-{self.position.step:09d}.png")
        self.meter.restart()

    def _finish(self, total: int) -> dict[str, Any]:
        position = self.position
        crops = position.step * self.config.optimiser.global_batch
        summary = {
            "finished": position.step == total,
            "steps": position.step,
            "epochs": position.step / self.plan.steps_per_epoch,
            "crops": crops,
            "train_hours": position.train_seconds / 3600,
            "crops_per_second": crops / max(position.train_seconds, 1e-9),
            "validation_loss": position.validation_loss,
            "best_validation_loss": position.best_loss,
            "best_step": position.best_step,
            "baseline": self.baseline,
            "nonfinite_steps": position.nonfinite_steps,
            "skipped_records": position.skipped_records,
            "parameters": count_parameters(self.of_pixels.model),
            "processes": self.world.size,
            "rank": self.world.rank,
            **self.facts,
        }
        with self.world.agreed():
            if self.world.is_main and summary["finished"]:
                write_atomically(self.workdir / SUMMARY_NAME, (json.dumps(summary, indent=2) + "\n").encode())
                save_figure(loss_figure(read_metrics(self.workdir), self.baseline), self.workdir / LOSS_FIGURE_NAME)
        return summary


def open_teachers(config: TeachersConfig, shards: ShardSet) -> list[Teacher]:
    """Open the embeddings of all teachers of one split; none of a split without records.

    Raises:
        DataError: embeddings that are not complete, or not of these shards.
    """
    return [Teacher(Path(folder), shards) for folder in config.folders] if len(shards) else []


def fingerprint(shards: ShardSet, teachers: Sequence[Teacher], weights: str) -> str:
    """Return the SHA-256 of all that a run reads: that of the shards, joined with those of teachers and weights."""
    parts = [shards.fingerprint, *(teacher.fingerprint for teacher in teachers), *filter(None, [weights])]
    return parts[0] if len(parts) == 1 else hashlib.sha256("/".join(parts).encode()).hexdigest()


def _check_frontend(shards: ShardSet, config: PretrainConfig) -> None:
    there, ours = shards.index.get("frontend"), FrontendConfig().to_dict()
    if there is not None and there != ours:
        different = name_differences(there, ours)
        raise DataError(f"{shards.directory}: made with another front end ({different}); prepare the audio again")
    if config.model.mel_bands != ours["mel_bands"]:
        raise DataError(
            f"model.mel_bands={config.model.mel_bands}: the front end and all shards have {ours['mel_bands']} bands"
        )
